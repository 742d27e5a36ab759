"""Runs of a plan that have ended, with the numbers that a test gives them."""

from pathlib import Path

from espalier.plan.runs import Run
from espalier.runs.columns import write_rows
from espalier.stages import STAGES
from support.sealed import seal


def end(run: Run, **measured: object) -> None:
    """Write the metrics and the record of a run, which no other has to stand for."""
    folder = Path(run.path)
    if (folder / "run.json").exists():
        return
    folder.mkdir(parents=True)
    row = dict.fromkeys(STAGES[run.stage].metrics, "") | measured | {"run": run.id}
    write_rows(folder / "metrics.csv", STAGES[run.stage].metrics, [row])
    seal(folder, run.stage, run.parent.id if run.parent else None)
