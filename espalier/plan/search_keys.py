"""What a study may say of a search: which points are drawn, and which trainings end before their time."""

from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict

from espalier.settings.registry import Spec
from espalier.settings.types import Count, Natural


def _part(found: Any) -> Any:
    """A fraction written as 1/3, or as a number."""
    try:
        part = Fraction(str(found))
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"found {found!r}, expected a fraction as 1/3 or 0.33") from None
    if not 0 < part < 1:
        raise ValueError(f"found {found!r}, expected a fraction between 0 and 1")
    return str(found)


class Halving(Spec):
    """Successive halving: all configurations begin, and after some epochs the best of them go on (Jamieson & Talwalkar
    2016, arXiv 1502.07943). A training that goes on is the same as one that nothing has paused."""

    epochs: Annotated[tuple[Count, ...], Strict(False), Field(min_length=2)]
    """epochs after which configurations are compared on validation, in rising order; the last is train.epochs"""
    keep: Annotated[str, BeforeValidator(_part)] = "1/3"
    """part of the configurations that goes on after each comparison, as 1/3 or 0.33, rounded down"""
    wait: bool = True
    """true: compare all configurations when the last one has reached the epoch. false: each goes on or ends as soon as
    its first seed has reached it, compared with those that have reached it before (asynchronous halving, Li et al.
    2020, arXiv 1810.05934)"""

    @property
    def part(self) -> Fraction:
        """The part as a number."""
        return Fraction(self.keep)


class MedianStopping(Spec):
    """The median stopping rule (Golovin et al. 2017, Google Vizier): a training ends when its best validation so far is
    below the median of what those that have finished had at the same epoch. The first seed of a configuration decides.
    """

    first: Count = 1
    """the first epoch at whose end a training may end"""
    every: Count = 1
    """epochs from one comparison to the next"""
    finished: Count = 5
    """trainings that must have finished before another one ends"""


class Sample(Spec):
    """Which points of a space, or of the grid alone, are run."""

    points: Count
    """how many points are run, counted after `exclude`, `when` and `constraints`. A point drawn from the space counts
    once, with however many points of the grid it is run. A higher number later keeps the points that were drawn
    before. With `tpe` and `gp` it is the points of each round, and another number is another search"""
    seed: Natural = 0
    """seed of the drawing; the same points on any machine"""
    method: Literal["sobol", "random", "tpe", "gp"] = "sobol"
    """how points are drawn from the space. sobol: a scrambled Sobol sequence, which covers it evenly; random:
    independent numbers; tpe (tree-structured Parzen estimator) and gp (Gaussian process): round by round, the first by
    Sobol and each later one by a model of the results before it. Points of a grid are always taken in random order"""
    rounds: Count = 1
    """rounds of `tpe` and `gp`, 2 or more; rounds × points are run in all. A higher number later keeps the first
    rounds"""

    @property
    def modelled(self) -> bool:
        """Whether later points follow from the results of earlier ones."""
        return self.method in ("tpe", "gp")

    @property
    def total(self) -> int:
        """Points of all rounds."""
        return self.points * self.rounds
