"""The server of preloaded runs, as Snakemake starts it."""

import os
import subprocess
import sys
from pathlib import Path

from espalier.site.preload import SOCKET

SCRIPT = Path(__file__).resolve().parents[3] / "workflow/scripts/preload.py"
_THREADS = tuple(f"{name}_THREADS" for name in ("OMP_NUM", "GOTO_NUM", "OPENBLAS_NUM", "MKL_NUM", "NUMEXPR_NUM"))
"""Variables by which Snakemake tells libraries the threads of a job, as its shell.py names them."""

_servers: list[subprocess.Popen] = []
"""Kept, since a server ends when the pipe to its standard input is closed."""


def wanted(preload: bool | str) -> bool:
    """Whether runs of this machine are preloaded, for `true`, `false` and `auto`.

    CUDA cannot be used in a process that is forked after it has started, and a module may start it.
    """
    devices = (Path("/dev") / name for name in ("nvidiactl", "nvidia0", "dxg", "kfd"))
    return sys.platform == "linux" and (preload is True or (preload == "auto" and not any(map(Path.exists, devices))))


def environment() -> dict[str, str]:
    """That of a job with one thread, for whose like a server imports."""
    return dict(os.environ) | dict.fromkeys(_THREADS, "1")


def begin() -> None:
    """Start a server that ends with this process, however that ends; runs that it starts find it."""
    server = subprocess.Popen(
        [sys.executable, SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        # A terminal's Ctrl-C reaches runs through their clients, once.
        start_new_session=True,
    )
    _servers.append(server)
    if socket := server.stdout.readline().strip():
        os.environ[SOCKET] = socket
