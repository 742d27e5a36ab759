"""A run's own process, where another one is forked for the run."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.preload import ENDING, SOCKET

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


def hand_over() -> None:
    """Have this process's script run by a forked one and end as that does; return where no server takes it."""
    from multiprocessing.connection import Client

    environment = dict(os.environ)
    asked = {
        "python": sys.executable,
        "words": sys.argv,
        "folder": str(Path.cwd()),
        "environment": environment,
        "ignored": [number for number in ENDING if signal.getsignal(number) == signal.SIG_IGN],
    }
    try:
        connection = Client(environment.pop(SOCKET), "AF_UNIX")
        taken = _ask(connection, asked)
    except (EOFError, OSError):
        return
    if not taken:
        return
    for number in set(ENDING) - set(asked["ignored"]):
        signal.signal(number, lambda received, _: connection.send(received))
    try:
        code = connection.recv()
    except (EOFError, OSError):
        sys.exit("the process that forked this run has ended, and the run with it")
    if code < 0:
        # As a shell sees it, this process and the forked one are the same.
        with suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _ask(connection: "Connection", asked: dict[str, Any]) -> bool:
    from multiprocessing.reduction import send_handle

    connection.send(asked)
    for stream in (0, 1, 2):
        send_handle(connection, stream, None)
    return connection.recv()
