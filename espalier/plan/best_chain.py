"""The best chain of a study, of those that are done: what a notebook loads and what other studies start from."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Generic, TypeVar

from espalier.runs import record as records

if TYPE_CHECKING:
    from espalier.plan.build import PlannedStudy, Point

METRIC = "validation_top1"
T = TypeVar("T")


@dataclass(frozen=True)
class Best(Generic[T]):
    """The best of a group of seeds."""

    mean: float
    """score of the group"""
    count: int
    """how many of it have one"""
    item: T
    """that of them with the highest"""


def best(study: "PlannedStudy", root: Path = Path()) -> "Point | None":
    """The point of the configuration with the highest mean validation top-1 at the end of its chains, that of its seeds
    with the highest; None while no chain is done.

    Args:
        root: what the paths of the plan are relative to

    Raises:
        ArtifactError: a run's record or metrics are damaged.
    """
    scores = [(tuple(point.labels.values()), _score(point, root), point) for point in study.kept]
    chosen = highest(scores)
    return chosen and chosen.item


def highest(scored: Iterable[tuple[Hashable, float | None, T]]) -> "Best[T] | None":
    """The best of things that are grouped: of the group with the highest mean, the first of equals, its best.

    Args:
        scored: (group, score, thing); things without a score are left out
    """
    groups: dict[Hashable, list[tuple[float, T]]] = {}
    for group, value, item in scored:
        if value is not None:
            groups.setdefault(group, []).append((value, item))
    if not groups:
        return None
    best = max(groups.values(), key=lambda own: fmean(value for value, _ in own))
    return Best(fmean(value for value, _ in best), len(best), max(best, key=lambda pair: pair[0])[1])


def unended(study: "PlannedStudy", root: Path = Path()) -> int:
    """How many runs of a study have not ended, well or not.

    Raises:
        ArtifactError: a run's record is damaged.
    """
    runs = {run for point in study.kept for run in point.all_runs if run.parent}
    return sum(records.read(root / run.path) is None for run in runs)


def score(ended: Iterable["records.Record | None"]) -> float | None:
    """Validation top-1 at the end of a chain, from the records of its runs; None where one of them is not done.

    Raises:
        ArtifactError: the metrics of a run are damaged.
    """
    found = list(ended)
    if not all(record and record.outcome == records.DONE for record in found):
        return None
    measured = [float(record.metrics[METRIC]) for record in found if record and record.metrics.get(METRIC)]
    return measured[-1] if measured else None


def _score(point: "Point", root: Path) -> float | None:
    return score([records.read(root / run.path) for run in point.runs.values() if run.parent])
