"""What a chain is compared with others by: a validation metric of the last of its runs that measures it."""

from pathlib import Path
from typing import TYPE_CHECKING

from espalier.plan.runs import Run
from espalier.runs import record as records
from espalier.stages import STAGES

if TYPE_CHECKING:
    from espalier.plan.build import Point


def measuring_run(point: "Point", metric: str) -> Run:
    """The last run of a chain that measures a metric."""
    return next(run for stage, run in reversed(point.runs.items()) if metric in STAGES[stage].metrics)


def final_score(folder: Path, metric: str) -> float | None:
    """What a run has measured, the larger the better; None of one that has no network.

    Raises:
        Mistake: the record of the run is missing or damaged.
    """
    record = records.complete(folder)
    if record.outcome != records.DONE:
        return None
    value = float(record.metrics[metric])
    return -value if metric.endswith("_loss") else value
