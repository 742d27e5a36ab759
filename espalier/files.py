"""Outputs that are whole or absent: written to a temporary name beside the target, then renamed."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TEMPORARY = re.compile(r"\.(?P<name>.+(?P<suffix>\.[^.]+))\.[a-z0-9_]{8}(?P=suffix)")
"""The name of a temporary file of `replacing`, whose target has a suffix."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes it when the block ends well, and vanishes when it does not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes a private file; an output carries the user's own umask.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` in one rename."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def leftovers(folder: Path, name: str | None = None) -> list[Path]:
    """Temporary files of `replacing` in a folder, of whatever target or of the one with a name; a process that still
    writes has one too."""
    found = {path: _TEMPORARY.fullmatch(path.name) for path in Path(folder).glob(".*")}
    return [path for path, match in found.items() if match and name in (None, match["name"])]
