"""The server that forks a process for each run, so that runs find torch imported.

It imports torch when the first client connects, and runs while its standard input is open or runs are at work. It does
not read from clients: a client that never sends its request blocks only the process forked for it.
"""

import gc
import importlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from espalier.site.preload import PASSED_ON, SOCKET
from espalier.site.preload.forked import attend

COMMAND = (sys.executable, "-m", "espalier.site.preload.server")
MODULES = (
    "torch",
    "sklearn.metrics",  # by every evaluation: 1.1 CPU-seconds
    "torch._dynamo",  # by torch's optimizers and its counter of FLOPs at their first use: 1.3 CPU-seconds
    "torch.utils.flop_counter",
    "accelerate",
    "safetensors.torch",
    "ruamel.yaml",
    "pydantic",
)
"""What every stage that runs networks imports. Espalier's own files are not among them: a run reads them as they are
when it starts."""
_THREADS = tuple(f"{name}_THREADS" for name in ("OMP_NUM", "GOTO_NUM", "OPENBLAS_NUM", "MKL_NUM", "NUMEXPR_NUM"))
"""Variables by which Snakemake tells libraries the threads of a job, as its shell.py names them."""

_servers: list[subprocess.Popen] = []
"""Kept, since a server ends when the pipe to its standard input is closed."""


def wanted(preload: bool | str) -> bool:
    """Whether runs of this machine are preloaded, for `true`, `false` and `auto`."""
    return sys.platform == "linux" and preload is not False


def environment() -> dict[str, str]:
    """That of a job with one thread, for whose like a server imports."""
    return dict(os.environ) | dict.fromkeys(_THREADS, "1")


def begin() -> None:
    """Start a server that ends with this process, however that ends; runs that it starts find it."""
    server = subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        # A terminal's Ctrl-C reaches runs through their clients, once.
        start_new_session=True,
    )
    _servers.append(server)
    if path := server.stdout.readline().strip():
        os.environ[SOCKET] = path


def main() -> None:
    """Serve at a socket whose path is printed, until standard input ends, and then wait for the runs at work."""
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
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
    ):
        path = Path(folder, "socket")
        listener.bind(str(path))
        listener.listen(128)
        print(path, flush=True)
        _serve(listener)


def _serve(listener: socket.socket) -> None:
    runs: dict[int, socket.socket] = {}
    # Runs that end wake the server.
    woken, wakes = socket.socketpair()
    wakes.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    listening = True
    while listening or runs:
        ready = select.select([woken, sys.stdin, listener] if listening else [woken], [], [])[0]
        if woken in ready:
            woken.recv(4096)
            _tell_ends(runs)
        # Nothing is ever written there: it is readable at its end alone.
        if sys.stdin in ready:
            listening = False
        elif listener in ready:
            try:
                _fork(listener, runs, (woken, wakes))
            except OSError:
                # No more open files, or no memory: whoever asks imports for itself from now on.
                listening = False
        if not listening:
            listener.close()


def _fork(listener: socket.socket, runs: dict[int, socket.socket], wake: tuple[socket.socket, ...]) -> None:
    connection, _ = listener.accept()
    _import()
    # Looked through for garbage by a run, they would be copied to it: 34 MB.
    gc.freeze()
    server = os.getpid()
    process = os.fork()
    if process:
        runs[process] = connection
        return
    signal.set_wakeup_fd(-1)
    for one in (listener, *runs.values(), *wake):
        one.close()
    attend(connection, server)


def _import() -> None:
    """Import what runs need."""
    known = dict(os.environ)
    for name in MODULES:
        with suppress(ImportError):
            importlib.import_module(name)
    # A library may have set a variable: clients that do not have it are compared with the others.
    os.environ.clear()
    os.environ.update(known)


def _tell_ends(runs: dict[int, socket.socket]) -> None:
    for process, connection in list(runs.items()):
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            # Its client may be gone.
            with suppress(OSError):
                connection.send(str(os.waitstatus_to_exitcode(status)).encode())
            connection.close()
            del runs[process]


if __name__ == "__main__":
    main()
