"""What client and server tell each other: a request with three open files, then signals one way and an end the other.

The socket keeps messages apart (SOCK_SEQPACKET), and an empty one means that the other side is gone.
"""

import json
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from espalier.site.preload import PASSED_ON

_LARGEST = 1 << 20
TAKEN = b"taken"
LONGEST_ANSWER = 1024
"""Bytes of a server's answer to a request: TAKEN, or why it is refused."""
STREAMS = (0, 1, 2)


def new_socket() -> socket.socket:
    """An unconnected one of the kind that both sides use."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def python() -> list[str]:
    """What two processes must have in common to import the same libraries."""
    return [sys.prefix, sys.version]


def ask(connection: socket.socket, environment: dict[str, str]) -> None:
    """Send what makes a process this one: its script, folder, environment, ignored signals and standard streams.

    Raises:
        OSError: there is more of it than the socket takes.
    """
    asked = {
        "python": python(),
        "words": sys.argv,
        "folder": str(Path.cwd()),
        "environment": environment,
        "ignored": [number for number in PASSED_ON if signal.getsignal(number) == signal.SIG_IGN],
    }
    # Names of files and variables may hold bytes that are no UTF-8; JSON escapes what stands for them.
    socket.send_fds(connection, [json.dumps(asked).encode("ascii")], STREAMS)


def asked(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The request and its open files; None where the client is gone."""
    text, streams, _, _ = socket.recv_fds(connection, _LARGEST, len(STREAMS))
    return (json.loads(text), streams) if text and len(streams) == len(STREAMS) else None
