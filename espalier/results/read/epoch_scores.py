"""How good the network was that a training had chosen after some of its epochs."""

from collections.abc import Collection
from math import nan
from typing import TYPE_CHECKING

from espalier.results.read.planned_study import Study
from espalier.training.selection import best

if TYPE_CHECKING:
    import pandas as pd


class EpochScores:
    """Trainings of a study after any of their epochs, by their histories."""

    def __init__(self, study: Study, history: "pd.DataFrame", ended: Collection[str]) -> None:
        """Take a history as `tidy.history` has it, and the ids of the trainings that are done."""
        self._rows = {run: rows.to_dict("records") for run, rows in history.groupby("run", sort=False)}
        self._select = {id_: run["settings"].get("train.select", "top1") for id_, run in study["runs"].items()}
        self._ended = ended

    def epochs(self, run: str) -> int:
        """Epochs that a run has trained by now; also of one that fine-tunes."""
        return len(self._rows.get(run, ()))

    def top1(self, run: str, epochs: int) -> float:
        """Validation top-1, in percent, of the network that a training had chosen after so many epochs; NaN where it
        has not come so far. One that is done and has fewer epochs has stood still since."""
        rows = self._rows.get(run, [])
        if not rows[:epochs] or (len(rows) < epochs and run not in self._ended):
            return nan
        return best(rows[:epochs], self._select[run])["validation_top1"]
