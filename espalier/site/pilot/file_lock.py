"""Locks on files, which the kernel frees when the process that holds one ends, however it ends."""

import fcntl
import os
from pathlib import Path
from typing import IO


def take(path: Path, *, wait: bool = False) -> IO | None:
    """The open file with its lock, which lasts until it is closed; None where another holds it."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def sign(file: IO) -> None:
    """Write into a locked file which process holds it."""
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()


def holder(path: Path) -> int | None:
    """The process that has signed and holds the lock on `path`."""
    if not path.exists():
        return None
    if file := take(path):
        file.close()
        return None
    text = path.read_text().strip()
    return int(text) if text else None
