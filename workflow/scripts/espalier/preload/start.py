"""The server of preloaded runs, as Snakemake starts it."""

import os
import subprocess
import sys
from pathlib import Path

from espalier.preload import SOCKET

SCRIPT = Path(__file__).resolve().parents[2] / "preload.py"
_servers: list[subprocess.Popen] = []


def pays(preload: bool | str) -> bool:
    """Whether to start a server, of `true`, `false` and `auto`.

    CUDA cannot be used in a process forked after it has started, and a module may start it; macOS has system
    libraries that do not survive a fork.
    """
    if preload == "auto":
        return sys.platform == "linux" and not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/kfd").exists()
    return bool(preload)


def begin() -> None:
    """Start a server that ends with this process, however that ends; runs that it starts find it."""
    # In a session of its own: a terminal's Ctrl-C reaches runs through their clients, once.
    server = subprocess.Popen(
        [sys.executable, SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    _servers.append(server)
    if socket := server.stdout.readline().strip():
        os.environ[SOCKET] = socket
