"""The record of a run: `run.json` of its folder, written last, with its outcome and the SHA-256 of all its files.

A run is complete when it has a record, and what a record says is believed only while the files are those bytes. The
record holds its own SHA-256 too, so that a changed bit in it is told. Whoever reads a file of a finished run reads it
through here.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from espalier.errors import ArtifactError
from espalier.files import write_text
from espalier.runs import seal

FILE = "run.json"
CHECKPOINTS = "checkpoint"
"""Folder within a run's, with the states that it goes on from; gone when it has a record."""
VERSION = 2
DIGITS = 10
"""Of a run's id."""
DONE, DIVERGED, NOT_RUN = "done", "diverged", "not run"
OUTCOMES = (DONE, DIVERGED, NOT_RUN)
"""How a run can have ended for good: with its results; with a loss that left reason; or not at all, since a run that
it reads diverged. An accident leaves no record, and the run is tried again."""


@dataclass(frozen=True)
class Record:
    """What a run says of itself, its own SHA-256 verified."""

    folder: Path
    content: Mapping[str, Any]
    sha256: str
    """of the record's text: two records are the same where these are"""

    @property
    def outcome(self) -> str:
        return self.content["outcome"]

    @property
    def reason(self) -> str:
        """Why a run is not done; empty for one that is."""
        return self.content.get("reason", "")

    @property
    def written(self) -> Mapping[str, str]:
        """Name of a file in the folder → SHA-256."""
        return self.content["written"]

    @property
    def read(self) -> Mapping[str, str]:
        """File that the run read beside the prepared data → SHA-256; of a run before it, <folder's name>/<file>."""
        return self.content["read"]

    def path(self, name: str) -> Path:
        """A file of the run, its bytes verified.

        Raises:
            ArtifactError: it is missing, changed, or none of the run's.
        """
        path = self.folder / name
        if name not in self.written:
            raise self._unusable(path, f"the run's record ({FILE}) names no such file")
        try:
            found = sha256(path)
        except OSError as error:
            raise self._unusable(path, f"it cannot be read ({error.strerror})") from error
        if found != self.written[name]:
            raise self._unusable(path, f"it is damaged: its SHA-256 is not the one in {FILE}")
        return path

    def rows(self, name: str) -> list[dict[str, str]]:
        """The rows of a CSV of the run, its bytes verified.

        Raises:
            ArtifactError: it is missing, changed, or none of the run's.
        """
        return [*csv.DictReader(io.StringIO(self.path(name).read_text(encoding="utf-8")))]

    @cached_property
    def metrics(self) -> Mapping[str, str]:
        """The one row of metrics.csv, verified; empty of a run that is not done.

        Raises:
            ArtifactError: the file is missing or changed.
        """
        return self.rows("metrics.csv")[0] if self.outcome == DONE else {}

    def _unusable(self, path: Path, why: str) -> ArtifactError:
        return ArtifactError(f"{path}: {why}. {mend(self.folder)}")


def read(folder: Path) -> Record | None:
    """The record of a run's folder; None where it has none, so that the run is not complete.

    Raises:
        ArtifactError: the record is damaged, of another version, or of another run.
    """
    folder = Path(folder)
    path = folder / FILE

    def unusable(why: str) -> ArtifactError:
        return ArtifactError(f"{path}: {why}. {mend(folder)}")

    try:
        text = path.read_bytes().decode()
        content = json.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise unusable(f"it cannot be read as a record ({error})") from error
    if not isinstance(content, dict) or content.get("record") != VERSION:
        raise unusable(f"it is no record of version {VERSION}, and says nothing of what its files must be")
    told = content.pop(seal.KEY, None)
    if not seal.is_intact(text, told):
        raise unusable("it is damaged: its content is not what its SHA-256 says")
    if content["run"] != identifier(folder):
        raise unusable(f"it is the record of the run {content['run']}")
    return Record(folder, content, told)


def complete(folder: Path) -> Record:
    """The record of a run that others read.

    Raises:
        ArtifactError: the run has no record yet, or one that cannot be used.
    """
    record = read(folder)
    if record is None:
        raise ArtifactError(f"{Path(folder) / FILE}: does not exist, so that this run is not complete; make it first")
    return record


def write(folder: Path, content: Mapping[str, Any], names: Iterable[str], read: Mapping[str, str]) -> None:
    """Write the record of a run, whose other files are all there.

    Args:
        content: what it tells beside the version, the files and its own SHA-256
        names: the files that the run has written
        read: SHA-256 of what the run has read beside the prepared data
    """
    folder = Path(folder)
    files = {"written": {name: sha256(folder / name) for name in names}, "read": dict(read)}
    write_text(folder / FILE, seal.sealed({"record": VERSION, **content, **files}))


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identifier(folder: Path) -> str:
    """The id of a run or a prepared data set, from its path's name."""
    return Path(folder).resolve().name.partition(".")[0].rpartition("-")[2]


def mend(folder: Path) -> str:
    """What makes a run usable again, in words."""
    return f"To have this run made again: espalier forget {Path(folder).name}"
