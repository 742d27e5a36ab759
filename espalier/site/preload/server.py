"""The process that forks runs, for as long as its standard input is open and runs are at work.

Torch is imported when the first client asks. One whose Python is another one, or for whom libraries would be loaded
otherwise, is refused and imports for itself. All is done by one thread, and a fork finds no lock held by another.
"""

import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from espalier.site.preload import PASSED_ON, message
from espalier.site.preload.forked import become

MODULES = ("torch", "torch.utils.flop_counter", "accelerate", "safetensors.torch", "ruamel.yaml", "pydantic")
"""What every stage that runs networks imports. Espalier's own files are not among them: a run reads them as they are
when it starts."""

_READ_WHILE_LOADING = ("LD_", "PYTHON", "MALLOC_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "DNNL_", "ONEDNN_")
_READ_BY_TORCH = ("ATEN_", "CUDA", "NVIDIA_", "PYTORCH_", "TORCH")


def loading(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that libraries read while they are loaded."""
    heads = _READ_WHILE_LOADING + _READ_BY_TORCH
    return {key: value for key, value in environment.items() if key.startswith(heads)}


def refusal(asked: Mapping[str, Any]) -> str | None:
    """Why a client's libraries are not those that are imported here, or None."""
    if asked["python"] != message.python():
        return f"another Python than that of the process that forks runs, {sys.prefix}"
    theirs, ours = loading(asked["environment"]), loading(os.environ)
    differ = sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
    if not differ:
        return None
    threads = all(key.endswith("_NUM_THREADS") for key in differ)
    return f"another {'number of threads' if threads else ', '.join(differ)} than in the process that forks runs"


class Server:
    """Forks a process for each client, passes signals on to it, and tells the client how it ended."""

    def __init__(self, listener: socket.socket):
        self._listener: socket.socket | None = listener
        self._runs: dict[int, socket.socket] = {}
        # Ended children wake the selector.
        self._woken, self._wakes = socket.socketpair()
        for end in (self._woken, self._wakes):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakes.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector = selectors.DefaultSelector()
        self._selector.register(sys.stdin, selectors.EVENT_READ, self._stop_listening)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._woken, selectors.EVENT_READ, self._reap)

    def serve(self) -> None:
        """Fork runs until standard input ends, then wait for those at work."""
        while self._listener or self._runs:
            for key, _ in self._selector.select():
                key.data()

    def _stop_listening(self) -> None:
        # Nothing is ever written there: it is readable at its end alone.
        with suppress(KeyError):
            self._selector.unregister(sys.stdin)
        if self._listener:
            self._selector.unregister(self._listener)
            Path(self._listener.getsockname()).unlink(missing_ok=True)
            self._listener.close()
            self._listener = None

    def _accept(self) -> None:
        if not self._listener:
            return
        try:
            connection, _ = self._listener.accept()
            request = message.asked(connection)
        except OSError:
            # No more open files, or no memory: whoever asks imports for itself from now on.
            self._stop_listening()
            return
        if request is None:
            connection.close()
            return
        asked, streams = request
        try:
            self._fork(asked, streams, connection)
        finally:
            for stream in streams:
                os.close(stream)

    def _fork(self, asked: dict, streams: list[int], connection: socket.socket) -> None:
        """Fork a run, or say why not and close the connection."""
        if reason := refusal(asked):
            with suppress(OSError):
                # Names may hold bytes that are no UTF-8.
                connection.send(reason.encode(errors="replace")[: message.LONGEST_ANSWER])
            connection.close()
            return
        for name in MODULES:
            with suppress(ImportError):
                importlib.import_module(name)
        # Collected by a child, they would be copied to it.
        gc.freeze()
        server = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
        try:
            process = os.fork()
        except OSError:
            connection.close()
            return
        finally:
            if os.getpid() == server:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        if not process:
            self._forget(connection)
            become(asked, streams, server)
        self._runs[process] = connection
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._pass_on(process))
        with suppress(OSError):
            connection.send(message.TAKEN)

    def _forget(self, connection: socket.socket) -> None:
        """Close, in a forked process, what is the server's."""
        signal.set_wakeup_fd(-1)
        self._selector.close()
        for one in (connection, *self._runs.values(), self._listener, self._woken, self._wakes):
            if one:
                one.close()

    def _pass_on(self, process: int) -> None:
        """A client has received a signal, or is gone and its run with it."""
        connection = self._runs.get(process)
        if not connection:
            return
        try:
            received = connection.recv(1)
        except OSError:
            received = b""
        os.kill(process, received[0] if received else signal.SIGKILL)
        if not received:
            self._selector.unregister(connection)

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass
        for process, connection in list(self._runs.items()):
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                with suppress(KeyError):
                    self._selector.unregister(connection)
                with suppress(OSError):
                    connection.send(str(os.waitstatus_to_exitcode(status)).encode())
                connection.close()
                del self._runs[process]


def main() -> None:
    """Serve at a socket whose path is printed."""
    # Runs may end in their own time when all processes of a job are told to.
    for number in PASSED_ON:
        signal.signal(number, signal.SIG_IGN)
    # The path of a socket ends at 107 bytes.
    place = tempfile.gettempdir()
    with (
        # Whoever made the temporary folder may have removed it before the end.
        tempfile.TemporaryDirectory(
            prefix="espalier-", dir=place if len(place) < 60 else "/tmp", ignore_cleanup_errors=True
        ) as folder,
        message.new_socket() as listener,
    ):
        path = Path(folder, "socket")
        listener.bind(str(path))
        listener.listen(128)
        print(path, flush=True)
        Server(listener).serve()
