"""A run's own process, where another one is forked for the run."""

import os
import signal
import socket
import sys
from contextlib import suppress

from espalier.site.preload import PASSED_ON, SOCKET, message


def hand_over() -> None:
    """Have this process's script run by a forked one and end as that does; return where no server takes it.

    A server that refuses says why, and so does this process on stderr.
    """
    path = os.environ.pop(SOCKET)
    connection = message.new_socket()
    try:
        connection.connect(path)
        message.ask(connection, dict(os.environ))
        answer = connection.recv(message.LONGEST_ANSWER)
    except OSError:
        answer = b""
    if answer != message.TAKEN:
        connection.close()
        if answer:
            print(f"this run imports torch for itself: {answer.decode(errors='replace')}", file=sys.stderr)
        return

    def pass_on(number: int, _: object) -> None:
        # The run may have ended in between.
        with suppress(OSError):
            connection.send(bytes([number]))

    for number in PASSED_ON:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, pass_on)
    _end_as(connection)


def _end_as(connection: socket.socket) -> None:
    try:
        said = connection.recv(64)
    except OSError:
        said = b""
    if not said:
        sys.exit("the process that forked this run has ended, and the run with it")
    code = int(said)
    if code < 0:
        # To a shell this process is the forked one.
        with suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
