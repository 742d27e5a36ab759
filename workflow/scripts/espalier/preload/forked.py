"""The process that a run is forked into."""

import multiprocessing
import os
import runpy
import signal
import sys
import threading
from multiprocessing.reduction import DupFd
from typing import Any


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


def become(words: list[str], folder: str, environment: dict[str, str], streams: Streams) -> None:
    """Run a script as the client would have: `words` are its path and arguments."""
    # The client is told by the server how a run ended; without one, a second run might be started beside this.
    threading.Thread(target=_end_with_server, daemon=True).start()
    streams.take()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = words
    runpy.run_path(words[0], run_name="__main__")


def _end_with_server() -> None:
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGKILL)
