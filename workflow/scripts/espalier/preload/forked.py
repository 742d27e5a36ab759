"""The process that a run is forked into."""

import multiprocessing
import os
import runpy
import signal
import sys
import threading
from multiprocessing.reduction import DupFd
from typing import Any

from espalier.preload import ENDING


class Streams:
    """Standard input, output and errors of a client, on their way to its forked process."""

    def __init__(self, numbers: list[int]):
        self.numbers = numbers

    def __reduce__(self) -> tuple[Any, tuple]:
        return _arrived, tuple(DupFd(number) for number in self.numbers)

    def take(self) -> None:
        """Make them those of this process."""
        for number, stream in enumerate(self.numbers):
            os.dup2(stream, number)
            os.close(stream)


def _arrived(*sent: Any) -> Streams:
    return Streams([each.detach() for each in sent])


def become(asked: dict[str, Any], streams: Streams) -> None:
    """Run a script as the client would have, who asks with its words, folder, environment and ignored signals."""
    # The client is told by the server how a run ended; without one, a second run might be started beside this.
    threading.Thread(target=_end_with_server, daemon=True).start()
    streams.take()
    for number in ENDING:
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN if number in asked["ignored"] else default)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = asked["words"]
    runpy.run_path(sys.argv[0], run_name="__main__")


def _end_with_server() -> None:
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGKILL)
