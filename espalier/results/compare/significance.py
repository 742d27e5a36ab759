"""Whether groups of runs differ from one of them by more than their seeds do, and by how much.

On the logit scale, where one spread is shared: Dunnett's test. Where Brown and Forsythe's test refuses that: Welch's,
corrected by Holm's method.

Sources: Dunnett 1955, Welch 1947, Holm 1979, Schuirmann 1987 (two one-sided tests).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from espalier.results.compare import dunnett
from espalier.results.compare.logits import percents
from espalier.results.compare.spread import ALPHA, Spread, each, means
from espalier.results.compare.statistics import LEVEL

_EQUIVALENCE = 2 * LEVEL - 1
"""Level of the interval that lies within a margin where both one-sided tests reject."""
_ANGLES = np.linspace(0, 2 * np.pi, 1024, endpoint=False)


class Differences(NamedTuple):
    """How groups differ from the control, an array of (groups,) each; NaN where fewer than two seeds leave it open."""

    low: np.ndarray
    """in points, simultaneous for all groups"""
    high: np.ndarray
    inner_low: np.ndarray
    """of the narrower interval that tells equivalence"""
    inner_high: np.ndarray
    p: np.ndarray
    """two-sided, of no difference, corrected for the number of groups"""


def differences(values: np.ndarray, images: np.ndarray, control: int, spread: Spread) -> Differences:
    """Every group less the control.

    Args:
        values: logits (groups, seeds), missing ones NaN
        images: (groups,), of each accuracy
        control: the row of the group compared with
        spread: of these groups, or of more
    """
    counts, own = each(values)
    tested = (counts > 1) & (counts[control] > 1) & (np.arange(len(values)) != control)
    found = Differences(*np.full((5, len(values)), np.nan))
    if not tested.any():
        return found
    middle = means(values)
    error = (spread.sd if spread.equal else own) / np.sqrt(np.maximum(counts, 1))
    how = _shared if spread.equal else _each_its_own
    found.p[tested], bounds = how(middle, error, counts, control, tested, spread)
    for places, bound in zip(((found.low, found.high), (found.inner_low, found.inner_high)), bounds, strict=True):
        for index, radius in zip(np.flatnonzero(tested), bound, strict=True):
            pair = [index, control]
            ends = points(middle[pair], radius * error[pair], images[pair])
            places[0][index], places[1][index] = ends
    return found


def _shared(middle, error, counts, control, tested, spread: Spread) -> tuple[np.ndarray, list[np.ndarray]]:
    """Dunnett's corrected p, and the critical |t| of both levels."""
    loads = np.sqrt(counts[tested] / (counts[tested] + counts[control]))
    t = statistic(middle, error, control)[tested]
    p = np.full(len(t), np.nan)
    known = ~np.isnan(t)
    p[known] = dunnett.p_values(t[known], loads, spread.freedom)
    return p, [np.full(len(t), dunnett.critical(loads, spread.freedom, level)) for level in (LEVEL, _EQUIVALENCE)]


def _each_its_own(middle, error, counts, control, tested, spread: Spread) -> tuple[np.ndarray, list[np.ndarray]]:
    """Holm's corrected p of Welch's tests, and the critical |t| of both levels, corrected by Bonferroni."""
    from scipy.special import stdtr, stdtrit

    freedom = welch_freedom(error, counts, control)[tested]
    t = statistic(middle, error, control)[tested]
    spreads = [1 - (1 - level) / max(1, (~np.isnan(t)).sum()) for level in (LEVEL, _EQUIVALENCE)]
    return holm(2 * stdtr(freedom, -np.abs(t))), [stdtrit(freedom, (1 + level) / 2) for level in spreads]


def statistic(middle: np.ndarray, error: np.ndarray, control: int) -> np.ndarray:
    """t of every group's difference from the control; NaN where nothing spreads."""
    apart = np.sqrt(error**2 + error[control] ** 2)
    # Accuracies are counts of images: without spread a step of the scale would be certain.
    return (middle - middle[control]) / np.where(apart > 0, apart, np.nan)


def welch_freedom(error: np.ndarray, counts: np.ndarray, control: int) -> np.ndarray:
    """Degrees of freedom after Satterthwaite, of every group with the control."""
    with np.errstate(invalid="ignore", divide="ignore"):
        below = error**4 / (counts - 1)
        return (error**2 + error[control] ** 2) ** 2 / (below + below[control])


def points(middle: np.ndarray, radii: np.ndarray, images: np.ndarray) -> tuple[float, float]:
    """Bounds of the difference of two accuracies, in points, while their logits lie in an ellipse.

    The half axes of the ellipse are critical t times standard error. It then contains a pair of equal logits if and
    only if the difference is not significant. To first order the bounds cover as an interval of the accuracies would,
    and they imply no accuracy below 0 or above 100.

    Args:
        middle: the two mean logits
        radii: the two half axes
        images: number of images of each accuracy
    """
    if not np.isfinite([*middle, *radii]).all() or not (radii > 0).any():
        return np.nan, np.nan
    # The directions in which logits become equal first are among those looked at.
    across = np.arctan2(-radii[1], radii[0])
    angles = np.append(_ANGLES, [across, across + np.pi])
    first = percents(middle[0] + radii[0] * np.cos(angles), images[0])
    apart = first - percents(middle[1] + radii[1] * np.sin(angles), images[1])
    return float(apart.min()), float(apart.max())


def holm(p: Sequence[float]) -> np.ndarray:
    """Corrected p values: the i-th smallest of m times m − i + 1, never less than one before it, at most 1.

    That one of m true null hypotheses is rejected has then at most the chance of one test. NaN are no tests and stay.
    """
    found = np.asarray(p, dtype=float)
    tested = np.flatnonzero(~np.isnan(found))
    order = tested[np.argsort(found[tested])]
    corrected = np.full(len(found), np.nan)
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * found[order]))
    return corrected


def worse_than(values: np.ndarray, best: int, spread: Spread, pairs: float) -> np.ndarray:
    """Whether each group is significantly worse than the best one: bool (groups,), with Bonferroni's correction.

    Args:
        values: logits of each group and repeat
        best: index of the best group
        spread: of the logits over repeats
        pairs: number of pairs that the correction counts, since any of them could have been compared
    """
    from scipy.special import stdtr

    counts, own = each(values)
    error = (spread.sd if spread.equal else own) / np.sqrt(np.maximum(counts, 1))
    freedom = spread.freedom if spread.equal else welch_freedom(error, counts, best)
    t = statistic(means(values), error, best)
    return np.nan_to_num(stdtr(freedom, t) * 2 * pairs, nan=1.0) < ALPHA
