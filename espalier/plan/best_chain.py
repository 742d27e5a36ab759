"""The best chain of a study, of those that are done: what a notebook loads and what other studies start from."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from espalier.runs import record as records

if TYPE_CHECKING:
    from espalier.plan.build import PlannedStudy, Point

METRIC = "validation_top1"


def best(study: "PlannedStudy", root: Path = Path()) -> "Point | None":
    """The point with the highest validation top-1 at the end of its chain; None while no chain is done.

    Args:
        root: what the paths of the plan are relative to

    Raises:
        ArtifactError: a run's record or metrics are damaged.
    """
    scores = [(found, point) for point in study.kept if (found := _score(point, root)) is not None]
    return max(scores, key=lambda pair: pair[0])[1] if scores else None


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
