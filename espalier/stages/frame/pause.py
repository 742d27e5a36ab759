"""A training that pauses at the end of an epoch, and how it stood then, told for whoever decides whether it goes on."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.runs import record as records
from espalier.runs.log import log
from espalier.runs.record import Record
from espalier.search import rung_file
from espalier.search.rung_file import PAUSED, Rung
from espalier.site import ranks
from espalier.training.selection import best

if TYPE_CHECKING:
    from espalier.stages.frame.stage_run import StageRun

HISTORY = "history.csv"
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class RungPause:
    """A pause at the end of an epoch, where the training does not end there."""

    until: int
    """the epoch"""
    file: Path
    """where it is told how the run stood"""

    def reason(self, history: Rows) -> str:
        """Why the training pauses after these epochs; empty where it goes on."""
        return "its rung is reached" if len(history) >= self.until else ""

    def tell(self, run: "StageRun") -> None:
        """Write the rung of a run that has paused or ended; of several processes the main one does.

        Raises:
            ArtifactError: the history of a run that has ended is damaged.
        """
        if not ranks.main():
            return
        record = records.read(run.folder)
        found = self._paused(run) if record is None else self._ended(run, record)
        rung_file.write(self.file, found)
        log.info("%s: %s at epoch %d", self.file, found.outcome, self.until)

    def _ended(self, run: "StageRun", record: Record) -> Rung:
        rows = rows_of(run.folder, record)
        # Later epochs are left out, so that the decision does not depend on whether the run has gone on since.
        later = len(rows) > self.until or (record.outcome == records.DIVERGED and len(rows) == self.until)
        outcome, reason = (PAUSED, "") if later else (record.outcome, record.reason)
        checksum, seconds = record.content["data"]["checksum"], record.content["wall_s"]
        return self._rung(run, rows, outcome, reason, checksum, seconds)

    def _paused(self, run: "StageRun") -> Rung:
        seconds = round(run.clock.seconds["wall"], 3)
        return self._rung(run, rows_of(run.folder), PAUSED, "", run.data.checksum, seconds)

    def _rung(self, run: "StageRun", rows: Rows, outcome: str, reason: str, checksum: Any, seconds: float) -> Rung:
        select = run.spec.train.select
        # Of rows as a CSV has them, with the bits that were written.
        chosen = best(rows[: self.until], select) if rows else None
        id_ = records.identifier(run.folder)
        return Rung(id_, self.until, outcome, reason, select, chosen, checksum, seconds)


def rows_of(folder: Path, record: Record | None = None) -> Rows:
    """The history of a run, with its numbers; none of one that has ended without.

    Args:
        record: of a run that has ended, whose files are verified

    Raises:
        ArtifactError: they are damaged.
    """
    if record is None:
        with (folder / HISTORY).open(newline="", encoding="utf-8") as file:
            rows = [*csv.DictReader(file)]
    else:
        rows = record.rows(HISTORY) if HISTORY in record.written else []
    return [{name: int(value) if name == "epoch" else float(value) for name, value in row.items()} for row in rows]
