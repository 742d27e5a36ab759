"""Which candidates of a rung go on: successive halving.

Sources: Karnin et al. 2013; Jamieson and Talwalkar 2016 (arXiv 1502.07943).
"""

from collections.abc import Sequence
from fractions import Fraction
from math import floor, isfinite
from statistics import fmean


def kept(scores: Sequence[Sequence[float | None]], most: int) -> list[bool]:
    """Whether each candidate goes on: the `most` with the highest mean over seeds; the earlier of equal ones.

    Args:
        scores: for each candidate one score a seed, larger is better; None for a seed that diverged, which drops the
            candidate
        most: how many go on
    """
    means = [mean(own) for own in scores]
    order = sorted(range(len(means)), key=lambda place: -means[place] if means[place] is not None else float("inf"))
    best = set(order[:most])
    return [place in best and means[place] is not None for place in range(len(means))]


def mean(scores: Sequence[float | None]) -> float | None:
    """Over the seeds of a candidate; None where one has no finite score."""
    known = [score for score in scores if score is not None and isfinite(score)]
    return fmean(known) if len(known) == len(scores) and known else None


def count(candidates: int, keep: Fraction) -> int:
    """How many of them go on, of which a part does: rounded down."""
    return floor(candidates * keep)
