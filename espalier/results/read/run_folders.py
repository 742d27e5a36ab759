"""Runs on disk: forgotten, and those that no study asks for."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from espalier.errors import Mistake
from espalier.runs import record as records
from espalier.runs.folders import DATA, folders
from espalier.runs.owner import name_for, owner, words
from espalier.runs.record import NOT_RUN
from espalier.search.rung_file import RUNGS


def forget(chosen: Iterable[Path]) -> list[Path]:
    """Remove runs and their rungs, with those that were not run because of them, so that the next call makes them; what
    was removed.

    Raises:
        Mistake: one of them is being made.
    """
    chosen = list(dict.fromkeys(chosen))
    chosen += [path for path in _not_run(chosen) if path not in chosen]
    for path in chosen:
        if (found := owner(path)) is not None:
            raise Mistake(f"{path}: is being made by {words(found)}; end that first")
    for path in chosen:
        # The record first: a run that is half removed is no complete one.
        (path / records.FILE).unlink(missing_ok=True)
        shutil.rmtree(path)
        shutil.rmtree(RUNGS / path.name, ignore_errors=True)
    return chosen


def _not_run(chosen: Iterable[Path]) -> Iterator[Path]:
    names = {path.name for path in chosen}
    for path in folders():
        try:
            record = records.read(path)
        except Mistake:
            continue
        if record and record.outcome == NOT_RUN and record.content["because"] in names:
            yield path


def orphans(asked: Iterable[str]) -> list[Path]:
    """Folders of runs, rungs of runs, and prepared files that are none of the paths that studies ask for."""
    known = {Path(path) for path in asked}
    known |= {RUNGS / path.name for path in known}
    data = (path for path in sorted(DATA.glob("*.safetensors")) if not path.name.startswith("."))
    return [path for path in [*folders(), *sorted(RUNGS.glob("*")), *data] if path not in known]


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def remove(path: Path) -> None:
    """Remove a run's folder with its rungs, the rungs alone, or a prepared file with what stands beside it.

    Raises:
        Mistake: it is being made.
    """
    if path.parent == RUNGS:
        # They may be gone with their run.
        shutil.rmtree(path, ignore_errors=True)
        return
    if path.is_dir():
        forget([path])
        return
    if (found := owner(path.parent, name_for(path))) is not None:
        raise Mistake(f"{path}: is being made by {words(found)}; end that first")
    for suffix in (".safetensors", ".log", ".tsv"):
        path.with_suffix(suffix).unlink(missing_ok=True)
