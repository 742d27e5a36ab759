"""How much the best of several candidates exceeds its own true mean by chance."""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist, fmean, variance

_STEPS, _WIDTH = 4000, 8.0


def highest(count: int) -> float:
    """The expected highest of so many independent standard normal numbers."""
    if count < 2:
        return 0.0
    normal, step = NormalDist(), 2 * _WIDTH / _STEPS
    places = (-_WIDTH + (number + 0.5) * step for number in range(_STEPS))
    return step * sum(x * count * normal.pdf(x) * normal.cdf(x) ** (count - 1) for x in places)


def optimism(scores: Sequence[Sequence[float | None]]) -> float | None:
    """The amount by which the best mean lies above the true one, by chance, if all candidates are equally good.

    The spread of scores over seeds is pooled over the candidates and taken as normal.

    Args:
        scores: for each candidate one score a seed

    Returns:
        the expected maximum under no effect, in the unit of the scores; None where no candidate has two seeds
    """
    known = [[score for score in own if score is not None] for own in scores]
    spreads = [variance(own) for own in known if len(own) > 1]
    counts = [len(own) for own in known if own]
    if not spreads:
        return None
    return highest(len(counts)) * sqrt(fmean(spreads) / fmean(counts))
