"""The process that forks runs, for as long as its standard input is open.

It imports nothing heavy before the first client, and then in that client's environment: a client for whom libraries
would be loaded otherwise is refused, and imports for itself.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import reduction
from multiprocessing.connection import Connection, Listener, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from espalier.preload import ENDING
from espalier.preload.forked import Streams, become

_READ_WHILE_LOADING = ("LD_", "PYTHON", "MALLOC_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "DNNL_", "ONEDNN_")
_READ_BY_TORCH = ("ATEN_", "CUDA", "NVIDIA_", "PYTORCH_", "TORCH")

MODULES = ["torch", "torch.utils.flop_counter", "accelerate", "safetensors.torch", "ruamel.yaml", "pydantic"]
"""What every stage that runs networks imports. Espalier's own files are not among them: a run reads them as they are
when it starts."""

_UNKNOWN = 255
"""Exit code of a process whose fork server was killed, which may itself be alive."""

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(MODULES)


def loading(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that libraries read while they are loaded."""
    heads = _READ_WHILE_LOADING + _READ_BY_TORCH
    return {key: value for key, value in environment.items() if key.startswith(heads)}


class Server:
    """Forks a process for each client, passes signals on to it, and tells the client how it ended."""

    def __init__(self) -> None:
        self._loading: dict[str, str] | None = None
        self._turn = threading.Lock()

    def serve(self, connection: Connection) -> None:
        """One client, from its request to its end; where it is gone before, its process is killed."""
        with connection, suppress(EOFError, ConnectionError):
            asked = connection.recv()
            streams = [reduction.recv_handle(connection) for _ in range(3)]
            try:
                process = self._fork(asked, Streams(streams))
            finally:
                for stream in streams:
                    os.close(stream)
            connection.send(process is not None)
            if process:
                try:
                    while process.sentinel not in wait([process.sentinel, connection]):
                        _send(process, connection.recv())
                except (EOFError, ConnectionError):
                    process.kill()
                process.join()
                if process.exitcode == _UNKNOWN:
                    _send(process, signal.SIGKILL)
                connection.send(process.exitcode)

    def _fork(self, asked: dict[str, Any], streams: Streams) -> BaseProcess | None:
        with self._turn:
            environment = asked["environment"]
            if self._loading is None:
                self._loading = loading(environment)
                os.environ.clear()
                os.environ.update(environment)
            if asked["python"] != sys.executable or loading(environment) != self._loading:
                return None
            process = _forks.Process(target=become, args=(asked, streams))
            process.start()
            return process


def _send(process: BaseProcess, number: int) -> None:
    # It may have ended in between.
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)


def main() -> None:
    """Serve at a socket whose path is printed, until standard input ends; runs at work are then still waited for."""
    server = Server()
    # Also the fork server, which inherits it, is there as long as a run may end in its own time.
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    # The path of a socket ends at 107 bytes.
    if len(tempfile.gettempdir()) > 60:
        tempfile.tempdir = "/tmp"
    with (
        # Whoever made the temporary folder may have removed it before the end.
        suppress(FileNotFoundError),
        tempfile.TemporaryDirectory(prefix="espalier-") as folder,
        Listener(str(Path(folder, "socket")), "AF_UNIX", backlog=128) as listener,
    ):
        print(listener.address, flush=True)
        threading.Thread(target=_accept, args=(listener, server), daemon=True).start()
        sys.stdin.read()


def _accept(listener: Listener, server: Server) -> None:
    while True:
        threading.Thread(target=server.serve, args=(listener.accept(),)).start()
