"""A run's own process, where another one is forked for the run."""

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from espalier.site.preload import PASSED_ON, SOCKET, TAKEN

PATIENCE_S = 120.0
"""How long a server may take to answer; it imports torch meanwhile, if this is its first run."""


def hand_over() -> None:
    """Have this process's script run by a forked one and end as that does; say why and return where none takes it.

    Where no server is named, nothing is done.
    """
    if SOCKET not in os.environ:
        return
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(PATIENCE_S)
    try:
        connection.connect(os.environ.pop(SOCKET))
        # A server that comes to it after this time finds nobody, and begins nothing.
        connection.recv(64)
        connection.settimeout(None)
        # Names of files and variables may contain bytes that are not UTF-8; JSON escapes their surrogates.
        socket.send_fds(connection, [json.dumps(_asked()).encode("ascii")], (0, 1, 2))
        answer = connection.recv(1024) or b"the process that forks runs has ended"
    except OSError as error:
        answer = f"the process that forks runs does not answer ({error})".encode()
    if answer != TAKEN:
        connection.close()
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


def _asked() -> dict[str, object]:
    """What makes a process this one, but for its standard streams."""
    return {
        "python": [sys.prefix, sys.version],
        "words": sys.argv,
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
        "ignored": [number for number in PASSED_ON if signal.getsignal(number) == signal.SIG_IGN],
    }


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
    sys.exit(code)
