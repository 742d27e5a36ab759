"""Rules by which a training ends itself, since others are better: it is compared with those that are there by then.

Sources: asynchronous successive halving, Li et al. 2020 (arXiv 1810.05934), as its form that stops trainings and takes
none up again; the median stopping rule, Golovin et al. 2017 (Google Vizier, KDD).
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
    """At a rung a training goes on if it is among the best of those that have come there by then."""

    epochs: tuple[int, ...]
    """the rungs, without the end of training"""
    keep: Fraction
    """part of them that goes on; of a few the best one does"""

    def due(self, epochs: int) -> list[int]:
        """The epochs at whose end a training of so many epochs is compared."""
        return [epoch for epoch in self.epochs if epoch < epochs]

    def look(self, epoch: int, place: int, trials: Sequence[Trial | None]) -> Look:
        """How a training stands at an epoch.

        Args:
            place: of the training among all, in the order of the study
            trials: all as far as they are, this one among them; None of one that has not begun
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
    """A training ends when its best so far is below the median of what those that finished had at the same epoch."""

    first: int
    every: int
    finished: int
    """so many must have finished before any is ended"""

    def due(self, epochs: int) -> list[int]:
        """The epochs at whose end a training of so many epochs is compared."""
        return list(range(self.first, epochs, self.every))

    def look(self, epoch: int, place: int, trials: Sequence[Trial | None]) -> Look:
        """How a training stands at an epoch; the arguments are those of the other rule."""
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
