"""The finished runs of a study as a tracker takes them: names, settings, numbers and where they come from."""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from espalier.results.read.planned_study import Study
from espalier.results.read.run_state import state_of

EPOCH = "epoch/"
"""Begins the names of what history.csv says; the same names without it are those of metrics.csv."""

_FILES = ("run.json", "metrics.csv", "history.csv")


@dataclass(frozen=True)
class Number:
    """One measured value."""

    name: str
    value: float
    ms: int
    """when, in milliseconds since the epoch"""
    step: int
    """the training's epoch; 0 for what is told of the run as a whole"""


@dataclass(frozen=True)
class Finished:
    """One run that has ended well."""

    id: str
    folder: Path
    params: Mapping[str, str]
    """settings of the run and of those before it, as far as any run of the study sets them or they vary"""
    numbers: tuple[Number, ...]
    tags: Mapping[str, str]
    started_ms: int
    ended_ms: int
    version: str
    """changes when the run is made anew"""


def finished(study: Study, root: Path = Path()) -> Iterator[Finished]:
    """Every run of the study that is done, in the order of the plan; preparing data is no run here."""
    told, labels = _told(study), _labels(study)
    for id_, run in study["runs"].items():
        if run["stage"] == "prepare" or state_of(run, root).name != "done":
            continue
        folder = Path(root, run["path"])
        record = _record(folder / "run.json")
        row = next(_rows(folder / "metrics.csv"), {})
        started = _started(record, folder)
        tags = {"id": id_, "study": study["study"], "stage": run["stage"], "parent": run["parent"], **labels[id_]}
        tags |= {"folder": run["path"], "command": record.get("command"), "device": record.get("device")}
        tags |= {"host": record.get("host"), "data": (record.get("data") or {}).get("checksum")}
        tags |= {f"git.{name}": value for name, value in (record.get("git") or {}).items()}
        tags |= {f"version.{name}": value for name, value in (record.get("versions") or {}).items()}
        yield Finished(
            id=id_,
            folder=folder,
            params=dict(_params(study, id_, told)),
            numbers=(*_measured(row, started), *_epochs(folder / "history.csv", started)),
            tags={name: str(value) for name, value in tags.items() if value is not None},
            started_ms=started,
            ended_ms=started + round(1000 * (_number(row.get("wall_s")) or 0)),
            version=_version(folder),
        )


def _told(study: Study) -> dict[str, set[str]]:
    """Stage → settings that some run of it gives; one that varies is given by a run at least. Always the seed."""
    found: dict[str, set[str]] = {}
    for run in study["runs"].values():
        found.setdefault(run["stage"], {"seed"}).update(word.partition("=")[0] for word in run["words"])
    return found


def _params(study: Study, id_: str, told: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    run = study["runs"][id_]
    if run["parent"]:
        yield from _params(study, run["parent"], told)
    for key, value in run["settings"].items():
        if key in told[run["stage"]] and value is not None:
            yield key, value if isinstance(value, str) else json.dumps(value)


def _labels(study: Study) -> dict[str, dict[str, str]]:
    """Run → its label on each axis on which all chains that it stands in agree."""
    found: dict[str, dict[str, set[str]]] = {id_: {} for id_ in study["runs"]}
    for point in study["points"]:
        for id_ in point["runs"].values():
            for axis, label in point["labels"].items():
                found[id_].setdefault(axis, set()).add(label)
    return {
        id_: {f"label.{axis}": next(iter(one)) for axis, one in axes.items() if len(one) == 1}
        for id_, axes in found.items()
    }


def _measured(row: Mapping[str, str], ms: int) -> Iterator[Number]:
    for name, text in row.items():
        value = _number(text)
        if name not in ("run", "parent") and value is not None:
            yield Number(name, value, ms, 0)


def _epochs(path: Path, ms: int) -> Iterator[Number]:
    seconds = 0.0
    for row in _rows(path):
        seconds += _number(row.get("epoch_s")) or 0
        for one in _measured(row, ms + round(1000 * seconds)):
            if one.name != "epoch":
                yield Number(EPOCH + one.name, one.value, one.ms, int(row["epoch"]))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _started(record: Mapping[str, Any], folder: Path) -> int:
    try:
        then = datetime.fromisoformat(record["started"]).timestamp()
    except (KeyError, TypeError, ValueError):
        then = (folder / "metrics.csv").stat().st_mtime
    return round(1000 * then)


def _version(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in (folder / name for name in _FILES):
        digest.update(path.read_bytes() if path.exists() else b"")
        digest.update(b"\0")
    return digest.hexdigest()[:16]
