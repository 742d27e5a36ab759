"""Locks on files, which the kernel frees when the process that holds one ends, however it ends."""

import fcntl
import json
from pathlib import Path
from typing import IO, Any


def take(path: Path, *, wait: bool = False, mode: str = "a+") -> IO | None:
    """Lock a file; the lock lasts until the returned file is closed. None where another process holds it.

    Args:
        wait: wait for the lock instead
        mode: how the file is opened; "r+" does not create it

    Raises:
        OSError: the file cannot be opened, or its file system has no locks.
    """
    file = path.open(mode)
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:
        file.close()
        raise
    return file


def sign(file: IO, said: Any) -> None:
    """Write into a locked file who holds it, as JSON."""
    file.truncate(0)
    file.write(json.dumps(said) + "\n")
    file.flush()


def holder(path: Path) -> Any:
    """What the process that holds the lock on `path` has signed; None if no process holds it or has signed it yet."""
    if not path.exists():
        return None
    if file := take(path):
        file.close()
        return None
    text = path.read_text().strip()
    return json.loads(text) if text else None
