"""Lets the processes of several nodes find each other: rank 0 writes the address of its socket into a shared file.

The kernel chooses the port, so two jobs of a node never choose the same. The socket listens only on the address by
which the run's other nodes reach the first one.
"""

import os
import socket
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from espalier.errors import Mistake
from espalier.site import nodes

if TYPE_CHECKING:
    from torch.distributed import TCPStore

_POLL_S = 0.1


def meet(file: Path, rank: int, world: int, timeout: timedelta) -> "TCPStore":
    """The store that all processes share; the one of rank 0 serves it.

    Args:
        file: on a file system of all nodes, empty until rank 0 tells its address there

    Raises:
        Mistake: rank 0 does not tell within `timeout`.
    """
    from torch.distributed import TCPStore

    if rank:
        host, port = _read(file, timeout)
        store = TCPStore(host, port, world, timeout=timeout)
    else:
        host = nodes.own_address()
        listening = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        port = listening.getsockname()[1]
        # In place: a file that is renamed over another is found late where directories are remembered.
        file.write_text(f"{host} {port}\n")
        # It waits for nobody, and closes the socket with itself.
        here = {"is_master": True, "wait_for_workers": False, "master_listen_fd": listening.detach()}
        store = TCPStore(host, port, world, timeout=timeout, **here)
    # Accelerate asks for them, and finds the processes joined.
    os.environ.update(MASTER_ADDR=host, MASTER_PORT=str(port))
    return store


def _read(file: Path, timeout: timedelta) -> tuple[str, int]:
    deadline = time.monotonic() + timeout.total_seconds()
    while not (text := file.read_text()).endswith("\n"):
        if time.monotonic() > deadline:
            raise Mistake(f"{file}: the main process has told no address; the folder must be one that all nodes see")
        time.sleep(_POLL_S)
    host, port = text.split()
    return host, int(port)
