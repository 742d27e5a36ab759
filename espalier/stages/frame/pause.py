"""How a run stood at the end of the epoch at which it was to pause, told for whoever decides whether it goes on."""

import csv
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from espalier.runs import record as records
from espalier.runs.log import log
from espalier.search import rung_file
from espalier.search.rung_file import PAUSED, Rung
from espalier.site import ranks
from espalier.training.selection import best

if TYPE_CHECKING:
    from espalier.stages.frame.stage_run import StageRun

HISTORY = "history.csv"


def tell(run: "StageRun") -> None:
    """Write the rung of a run that has paused or ended, where one is asked for; of several processes the main one does.

    Raises:
        ArtifactError: the history of a run that has ended is damaged.
    """
    if run.rung is None or not ranks.main():
        return
    found = _ended(run) or _paused(run)
    rung_file.write(run.rung, found)
    log.info("%s: %s at epoch %d", run.rung, found.outcome, run.until)


def _ended(run: "StageRun") -> Rung | None:
    """From the record; None where the run has none."""
    record = records.read(run.folder)
    if record is None:
        return None
    rows = record.rows(HISTORY) if HISTORY in record.written else []
    # What came after the epoch is not told, so that the same is decided whether or not the run has gone on before.
    later = len(rows) > run.until or (record.outcome == records.DIVERGED and len(rows) == run.until)
    outcome, reason = (PAUSED, "") if later else (record.outcome, record.reason)
    return Rung(
        records.identifier(run.folder),
        run.until,
        outcome,
        reason,
        run.spec.train.select,
        _best(run, rows),
        record.content["data"]["checksum"],
        record.content["wall_s"],
    )


def _paused(run: "StageRun") -> Rung:
    with (run.folder / HISTORY).open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    select, seconds = run.spec.train.select, round(run.clock.seconds["wall"], 3)
    id_ = records.identifier(run.folder)
    return Rung(id_, run.until, PAUSED, "", select, _best(run, rows), run.data.checksum, seconds)


def _best(run: "StageRun", rows: Sequence[Mapping[str, str]]) -> Mapping[str, float] | None:
    """The best of the epochs asked for, of rows as a CSV has them, with the bits that were written."""
    history = [
        {name: int(value) if name == "epoch" else float(value) for name, value in row.items()}
        for row in rows[: run.until]
    ]
    return best(history, run.spec.train.select) if history else None
