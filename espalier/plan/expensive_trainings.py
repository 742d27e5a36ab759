"""Expensive trainings of a plan, reported before they run: MACs × images × epochs, against what was measured here."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from espalier.counted import counted
from espalier.data import header
from espalier.errors import DataError, Mistake
from espalier.plan import model_counts, own_images, priorities
from espalier.plan.grid import label
from espalier.plan.runs import Run
from espalier.runs import record as records
from espalier.runs.record import Record
from espalier.settings.registry import Choice

MANY = 1_000_000
"""Images that a training sees, of which fewer are never expensive: their networks are not even counted."""
HOURS, HOURS_IN_ALL = 1.0, 10.0
"""Of one run and of all together, from which on they are expensive."""
MACS = 1e14
"""Of a run, from which on it is expensive where nothing tells how long that takes."""
NEAR = 4.0
"""How many times larger or smaller a network is, at most, whose pace tells that of another."""
SHORTEST_S = 60.0
"""Of a run that tells a pace: what is shorter has measured how it starts."""
NEWEST = 50
"""Runs that are asked for their pace, the newest."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a run was."""

    macs: float
    """multiply-accumulates of its network for one image"""
    rate: float
    """multiply-accumulates of the forward pass in a second of training"""
    device: str


@dataclass(frozen=True, slots=True)
class Training:
    """Runs of a plan that train alike."""

    name: str
    macs: float
    """of one image"""
    work: float
    """MACs × images × epochs of one run"""
    runs: int


def warning(runs: Iterable[Run], folder: Path = Path("results/runs/train")) -> str:
    """A line that names the most expensive of the trainings to be made, and how long they take; empty where none is.

    Hours are told where runs of networks of such a size have been measured, and never guessed otherwise.

    Args:
        runs: what is to be made
        folder: with the trained runs whose pace is asked for
    """
    trainings = _trainings(runs)
    return message(trainings, list(paces(folder)) if trainings else [])


def message(trainings: Sequence[Training], known: Sequence[Pace]) -> str:
    """The line, of trainings and of the pace of other runs."""
    near = {one: [pace for pace in known if 1 / NEAR <= pace.macs / one.macs <= NEAR] for one in trainings}
    hours = {one: one.work / median(pace.rate for pace in near[one]) / 3600 for one in trainings if near[one]}
    if hours:
        one = max(hours, key=lambda each: hours[each])
        in_all = sum(each.runs * hours[each] for each in hours)
        if hours[one] < HOURS and in_all < HOURS_IN_ALL:
            return ""
        rate = median(pace.rate for pace in near[one])
        devices = " and ".join(sorted({pace.device for pace in near[one]}))
        by = counted(len(near[one]), "run")
        measured = f"measured: {_short(rate)}MACs/s on {devices}, {by} of networks of this size"
        rest = sum(each.runs for each in trainings if each not in hours)
        without = f", and {counted(rest, 'run')} of networks of another size" if rest else ""
        return (
            f"warning: {one.name}: about {hours[one]:.2g} h a run, {counted(one.runs, 'run')}; "
            f"all such trainings about {in_all:.2g} h of runs{without} ({measured})"
        )
    longest = max(trainings, key=lambda each: each.work, default=None)
    if longest is None or longest.work < MACS:
        return ""
    shortest = min(trainings, key=lambda each: each.work)
    times = f", {longest.work / shortest.work:.2g} times the {_short(shortest.work)}MACs of {shortest.name}"
    return (
        f"warning: {longest.name}: {_short(longest.work)}MACs a run, {counted(longest.runs, 'run')}"
        f"{times if longest.work > 1.5 * shortest.work else ''}; how long that takes, no run here has measured yet"
    )


def paces(folder: Path) -> Iterator[Pace]:
    """The pace of the newest trained runs, of one kind of device: that of the newest."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.stat().st_mtime, reverse=True)[:NEWEST]
    except OSError:
        return
    device = None
    for entry in entries:
        try:
            record = records.read(Path(entry.path))
            pace = record and _pace(record)
        except Mistake:
            continue
        if pace and device in (None, pace.device):
            device = pace.device
            yield pace


def _pace(record: Record) -> Pace | None:
    images_per_s, macs = record.metrics.get("images_per_s"), record.content.get("macs")
    if not images_per_s or not macs or record.content["wall_s"] < SHORTEST_S:
        return None
    return Pace(macs, macs * float(images_per_s), record.content["device"])


def _trainings(runs: Iterable[Run]) -> list[Training]:
    trained = {run: epochs for run in runs if run.parent and (epochs := priorities.epochs(run))}
    images = {data: _images(data) for data in {run.data for run in trained}}
    seen = {run: epochs * images[run.data] for run, epochs in trained.items()}
    chosen = [run for run, number in seen.items() if number >= MANY]
    try:
        counts: list[Mapping[str, Any]] = model_counts.counts(map(priorities.network, chosen)) if chosen else []
    except RuntimeError:
        # Whoever needs the counts says so.
        return []
    alike: dict[tuple[str, float, float], int] = defaultdict(int)
    for run, row in zip(chosen, counts, strict=True):
        if row.get("macs"):
            alike[_name(run), row["macs"], row["macs"] * seen[run]] += 1
    return [Training(*key, number) for key, number in alike.items()]


def _name(run: Run) -> str:
    trained = run.networks[0] if run.networks else run
    stage = "" if run.stage == "train" else f", {run.stage}"
    return f"{label(trained.spec.model)}{stage} × {priorities.epochs(run)} epochs"


def _images(data: Run) -> float:
    """Training images of a data set, about; 0 where the plan does not know them."""
    dataset: Choice = data.spec.dataset
    settings = dataset.settings()
    try:
        if Path(data.path).exists():
            return header.read(Path(data.path))["sizes"]["train"]
        own = own_images.source(dataset)
    except (DataError, KeyError):
        return 0
    if own:
        return sum(own.counts.get("train") or own.counts.get("all") or ()) * settings.get("fraction", 1.0)
    if "train" in settings:
        return settings["train"]
    facts = dataset.entry().facts
    kept = len(settings["keep"]) / facts["classes"] if settings.get("keep") and "classes" in facts else 1.0
    # The authors' train split holds the images for validation too.
    return facts.get("train_images", 0) * (1 - settings.get("validation", 0.0)) * settings.get("fraction", 1.0) * kept


def _short(number: float) -> str:
    size, prefix = next(((size, prefix) for size, prefix in _PREFIXES if number >= size), (1.0, ""))
    return f"{number / size:.3g} {prefix}"


_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
