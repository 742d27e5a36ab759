"""Files of a published data set: found where the user keeps them, else fetched by torchvision."""

import fcntl
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from espalier.errors import DataError

T = TypeVar("T")

DOWNLOADS = Path("results/downloads")
"""Where files are fetched to when ESPALIER_DATA names no place."""
_PATIENCE_S = 30
_BROKEN = (RuntimeError, OSError, ValueError, EOFError, AssertionError)
"""What torchvision raises of files that are missing or damaged, and of a network that does not answer."""


def opened(
    kind: Callable[..., T],
    source: Path | None,
    *,
    name: str,
    holds: str,
    parts: Sequence[Mapping[str, Any]] = ({"train": True}, {"train": False}),
) -> list[T]:
    """The parts of a data set of torchvision from under `source`, or `source`/`name`; fetched if they are nowhere.

    Args:
        kind: torchvision's class
        source: ESPALIER_DATA
        holds: the data set's own folder, as torchvision lays it out
        parts: arguments of `kind` that give each part

    Raises:
        DataError: the files are missing or damaged and cannot be fetched.
    """
    root = source or DOWNLOADS
    place = next((folder for folder in (root, root / name) if (folder / holds).exists()), root)
    state = "is damaged" if (place / holds).exists() else "is not there"

    def read(download: bool) -> list[T]:
        return [kind(place, download=download, **part) for part in parts]

    try:
        with _alone(place):
            if (place / holds).exists():
                with suppress(*_BROKEN):
                    return read(download=False)
            return read(download=True)
    except _BROKEN as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{name}: {place / holds} {state}, and fetching it failed ({reason}). Either set ESPALIER_DATA to a folder "
            f"that holds {holds}/, or fetch it where there is a network: "
            f"python -c \"from torchvision.datasets import {kind.__name__}; {kind.__name__}('{place}', download=True)\""
        ) from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process looks into a folder at a time, so that none reads what another one is still unpacking there.

    Meanwhile no connection hangs for ever.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, patience = os.open(folder, os.O_RDONLY), socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE_S)
    try:
        # Some network file systems cannot lock folders; if two processes then fetch at once, the MD5 shows it.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        socket.setdefaulttimeout(patience)
        os.close(descriptor)
