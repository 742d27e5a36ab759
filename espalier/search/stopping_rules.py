"""Rules that stop a training early, by comparing it with the trainings that have come as far.

Sources: asynchronous successive halving, Li et al. 2020 (arXiv 1810.05934), in the form that stops trainings and
resumes none; the median stopping rule, Golovin et al. 2017 (Google Vizier, KDD).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import median
from typing import Any

from espalier.search import halving
from espalier.search.trial_file import Look, Trial


@dataclass(frozen=True)
class AsynchronousHalving:
    """A training goes on after a rung if it is among the best `keep` of those that have reached the rung so far."""

    epochs: tuple[int, ...]
    """the rungs, without the end of training"""
    keep: Fraction
    """part of them that goes on; of a few the best one does"""

    def due(self, epochs: int) -> list[int]:
        """The epochs at whose end a training of so many epochs is compared."""
        return [epoch for epoch in self.epochs if epoch < epochs]

    def look(self, epoch: int, place: int, trials: Sequence[Trial | None]) -> Look:
        """Compare a training with the others at an epoch.

        Args:
            place: index of the training in `trials`
            trials: every training as far as it is, in the order of the study; None for one that has not begun
        """
        scores = [trial.at(epoch) if trial else None for trial in trials]
        # One that diverged has been compared, and lost.
        there = [at for at, trial in enumerate(trials) if scores[at] is not None or (trial and trial.diverged)]
        most = max(1, halving.count(len(there), self.keep))
        goes_on = halving.kept([[scores[at]] for at in there], most)
        bar = min((scores[at] for at, kept in zip(there, goes_on, strict=True) if kept), default=None)
        return Look(epoch, scores[place], len(there), bar, goes_on[there.index(place)])


@dataclass(frozen=True)
class Median:
    """A training ends if its best score so far is below the median of the finished trainings' at the same epoch."""

    first: int
    every: int
    finished: int
    """so many must have finished before any is ended"""

    def due(self, epochs: int) -> list[int]:
        """The epochs at whose end a training of so many epochs is compared."""
        return list(range(self.first, epochs, self.every))

    def look(self, epoch: int, place: int, trials: Sequence[Trial | None]) -> Look:
        """Compare a training with the finished ones at an epoch; arguments as for `AsynchronousHalving.look`."""
        own = trials[place].at(epoch)
        others = [trial for at, trial in enumerate(trials) if trial and trial.finished and at != place]
        bar = median(trial.at(epoch) for trial in others) if len(others) >= self.finished else None
        return Look(epoch, own, len(others) + 1, bar, bar is None or own >= bar)


Rule = AsynchronousHalving | Median


def of(asked: Mapping[str, Any]) -> Rule:
    """The rule that a question names."""
    if asked["name"] == "median":
        return Median(asked["first"], asked["every"], asked["finished"])
    return AsynchronousHalving(tuple(asked["epochs"]), Fraction(asked["keep"]))
