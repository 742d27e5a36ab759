"""Early stopping of a training by comparison with other trainings of its study."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.errors import Mistake
from espalier.runs import record as records
from espalier.runs.log import log
from espalier.search import stopping_rules, trial_file
from espalier.search.trial_file import RUNNING, STOPPED, Question, Trial
from espalier.site import ranks
from espalier.stages.frame.pause import rows_of
from espalier.training.selection import rank

if TYPE_CHECKING:
    from espalier.stages.frame.stage_run import StageRun


class TrialStop:
    """Compares one training with those of the same study that have come as far, and decides whether it goes on.

    Args:
        file: the trial's file, written when it is over
        question: the file with the rule and the trainings that are compared
        run: name of the run's folder
        select: validation metric that is compared
        epochs: of the whole training

    Raises:
        Mistake: the question cannot be read, or does not list this run.
    """

    until = None

    def __init__(self, file: Path, question: Path, run: str, select: str, epochs: int):
        comparison = Question.read(question)
        if run not in comparison.candidates:
            raise Mistake(f"{question}: {run} is none of the trainings that are compared; call snakemake again")
        self._file, self._select, self._epochs = file, select, epochs
        self._rule = stopping_rules.of(comparison.rule)
        self._place = comparison.candidates.index(run)
        self._others = [trial_file.path(name, comparison.key) for name in comparison.candidates]
        begun = Trial(records.identifier(Path(run)), epochs, RUNNING, (), ())
        # What was decided before the training was interrupted stands.
        self._trial = _first(trial_file.under_way(file), file) or begun

    def reason(self, history: Sequence[Mapping[str, Any]]) -> str:
        """Why the training ends after these epochs; empty where it goes on. All processes ask, the main one decides."""
        why = ""
        if ranks.main():
            self._decide(history, len(history))
            why = self._why()
        stopped = ranks.agree(ranks.STOP if why else ranks.NOTHING) == ranks.STOP
        return (why or "others are better") if stopped else ""

    def tell(self, run: "StageRun") -> None:
        """Write the trial when it is over, also of a training that had ended before; the main process does.

        Raises:
            ArtifactError: the history of a run that has ended is damaged.
        """
        if not ranks.main():
            return
        record = records.read(run.folder)
        if record is not None and self._trial.outcome != STOPPED:
            self._trial = replace(self._trial, outcome=record.outcome)
            # One that ended before a rung is compared there all the same.
            self._decide(rows_of(run.folder, record), self._epochs if record.outcome == records.DONE else 0)
        trial_file.write(self._file, self._trial)
        trial_file.under_way(self._file).unlink(missing_ok=True)
        log.info("%s: %s", self._file, self._why() or self._trial.outcome)

    def _decide(self, history: Sequence[Mapping[str, Any]], until: int) -> None:
        """Compare at each epoch that is due and not decided yet, until one ends the training."""
        scores = tuple(accumulate((rank(row, self._select)[0] for row in history), max))
        self._trial = replace(self._trial, scores=scores)
        decided = {look.epoch for look in self._trial.looks}
        for epoch in self._rule.due(self._epochs):
            if epoch > until or epoch in decided or self._trial.outcome == STOPPED:
                continue
            # Others see it before it looks at them: of two that come at once one at least sees both.
            trial_file.write(trial_file.under_way(self._file), self._trial)
            look = self._rule.look(epoch, self._place, [self._other(at) for at in range(len(self._others))])
            outcome = self._trial.outcome if look.goes_on else STOPPED
            self._trial = replace(self._trial, looks=(*self._trial.looks, look), outcome=outcome)
            trial_file.write(trial_file.under_way(self._file), self._trial)

    def _other(self, at: int) -> Trial | None:
        if at == self._place:
            return self._trial
        return _first(self._others[at], trial_file.under_way(self._others[at]))

    def _why(self) -> str:
        if self._trial.outcome != STOPPED:
            return ""
        look = self._trial.looks[-1]
        bar = "" if look.bar is None else f", and {abs(look.bar):.4g} is asked for"
        return (
            f"stopped at the end of epoch {look.epoch} of {self._epochs}: its best validation {self._select} is "
            f"{abs(look.score):.4g}{bar}, among {look.among}"
        )


def _first(*files: Path) -> Trial | None:
    """The trial in the first of the files that can be read; what is damaged is told and counts as not there."""
    for file in files:
        try:
            return trial_file.read(file)
        except Mistake as mistake:
            if file.exists():
                log.warning("%s", mistake)
    return None
