"""The finished runs of a study as a tracker takes them: names, settings, numbers and where they come from."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from espalier.results.read.planned_study import Study
from espalier.runs import record as records

EPOCH = "epoch/"
"""Begins the names of what history.csv says; the same names without it are those of metrics.csv."""


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
    """Every run of the study that is done, in the order of the plan; preparing data is no run here.

    Raises:
        ArtifactError: the record of a run or a table that it names is damaged.
    """
    given, labels = _given_settings(study), _labels(study)
    for id_, run in study["runs"].items():
        folder = Path(root, run["path"])
        found = records.read(folder) if run["stage"] != "prepare" else None
        if found is None or found.outcome != records.DONE:
            continue
        record, row = found.content, found.metrics
        started = round(1000 * datetime.fromisoformat(record["started"]).timestamp())
        tags = {"id": id_, "study": study["study"], "stage": run["stage"], "parent": run["parent"], **labels[id_]}
        tags |= {"folder": run["path"], "command": record["command"], "device": record["device"]}
        tags |= {"host": record["host"], "data": record["data"]["checksum"]}
        tags |= {f"git.{name}": value for name, value in record["git"].items()}
        tags |= {f"version.{name}": value for name, value in record["versions"].items()}
        yield Finished(
            id=id_,
            folder=folder,
            params=dict(_params(study, id_, given)),
            numbers=(*_measured(row, started), *_epochs(found, started)),
            tags={name: str(value) for name, value in tags.items() if value is not None},
            started_ms=started,
            ended_ms=started + round(1000 * (_number(row.get("wall_s")) or 0)),
            version=found.sha256[:16],
        )


def _given_settings(study: Study) -> dict[str, set[str]]:
    """Stage → settings that some run of it gives; one that varies is given by a run at least. Always the seed."""
    found: dict[str, set[str]] = {}
    for run in study["runs"].values():
        found.setdefault(run["stage"], {"seed"}).update(word.partition("=")[0] for word in run["words"])
    return found


def _params(study: Study, id_: str, varied: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    run = study["runs"][id_]
    if run["parent"]:
        yield from _params(study, run["parent"], varied)
    for key, value in run["settings"].items():
        if key in varied[run["stage"]] and value is not None:
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


def _epochs(record: records.Record, ms: int) -> Iterator[Number]:
    seconds = 0.0
    for row in record.rows("history.csv") if "history.csv" in record.written else ():
        seconds += _number(row.get("epoch_s")) or 0
        for one in _measured(row, ms + round(1000 * seconds)):
            if one.name != "epoch":
                yield Number(EPOCH + one.name, one.value, one.ms, int(row["epoch"]))


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
