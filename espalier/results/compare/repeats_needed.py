"""Power analysis: how many repeats a next study needs to tell whether two configurations differ or are equivalent.

Source: Cohen 1988 (power); for equivalence Schuirmann 1987.
"""

import numpy as np

from espalier.results.compare.logits import percents
from espalier.results.compare.statistics import LEVEL

POWER = 0.8
"""Chance that so many repeats tell the difference, if it is what it was found to be."""
MOST = 1000
"""More repeats than this nobody makes."""


def repeats(
    logits: tuple[float, float], sd: float, images: float, groups: int, compared: int, margin: float
) -> int | None:
    """The fewest repeats of each configuration that resolve a difference with power `POWER`; None beyond `MOST`.

    Resolved means that the difference is significant, or that it lies within the margin.

    Args:
        logits: the two mean logits compared, taken as true
        sd: standard deviation of logits over seeds
        images: number of images that an accuracy is measured on
        groups: number of groups that share the spread
        compared: number of groups compared with the same baseline, for the correction
        margin: in points of accuracy
    """
    # Normal and t-distributions, without the import of scipy.stats.
    from scipy.special import ndtri, stdtrit

    from espalier.results.compare import dunnett

    n = np.arange(2, MOST + 1)
    freedom = groups * (n - 1)
    # The correction, as the level of one comparison; it hardly depends on the degrees of freedom.
    bounds = [dunnett.critical([np.sqrt(0.5)] * compared, 10**6, level) for level in (LEVEL, 2 * LEVEL - 1)]
    outer, inner = (stdtrit(freedom, _normal(bound)) for bound in bounds)
    first, second = percents(np.array(logits), images)
    slopes = [p * (100 - p) / 100 for p in (first, second)]
    error, error_points = sd * np.sqrt(2 / n), sd * np.hypot(*slopes) / np.sqrt(n)
    apart = abs(logits[0] - logits[1]) >= (outer + stdtrit(freedom, POWER)) * error
    # Either of two sides may fail.
    alike = margin - abs(first - second) >= (inner + ndtri((1 + POWER) / 2)) * error_points
    enough = np.flatnonzero(apart | alike)
    return int(n[enough[0]]) if len(enough) else None


def _normal(bound: float) -> float:
    """Probability that a normal deviate lies below the bound."""
    from scipy.special import ndtr

    return float(ndtr(bound))
