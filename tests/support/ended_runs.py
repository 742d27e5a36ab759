"""Runs of a plan that have ended, with the numbers that a test gives them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from espalier.plan.build import PlannedStudy
from espalier.plan.runs import Run
from espalier.runs import record as records
from espalier.runs.columns import write_rows
from espalier.stages import STAGES
from support.sealed import seal


def end(run: Run, **measured: object) -> None:
    """Write the metrics and the record of a run, which no other has to stand for; without any it has diverged."""
    folder = Path(run.path)
    if (folder / "run.json").exists():
        return
    folder.mkdir(parents=True)
    if not measured:
        seal(folder, run.stage, run.parent.id if run.parent else None, outcome=records.DIVERGED, reason="loss is nan")
        return
    row = dict.fromkeys(STAGES[run.stage].metrics, "") | measured | {"run": run.id}
    write_rows(folder / "metrics.csv", STAGES[run.stage].metrics, [row])
    seal(folder, run.stage, run.parent.id if run.parent else None)


def settle(planned: Callable[[], PlannedStudy], measured: Callable[[Run], dict[str, Any]]) -> PlannedStudy:
    """End the runs that a study's plan waits for and answer its questions one after the other, until the plan is
    complete.

    Args:
        planned: plans the study as it stands
        measured: the metrics of a run; empty for one that diverged
    """
    while (study := planned()).pending:
        for run, epochs in study.pending.needs:
            assert epochs is None
            end(run, **measured(run))
        study.pending.write(study.pending.path)
    return study
