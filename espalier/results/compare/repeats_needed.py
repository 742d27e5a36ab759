"""How many repeats would tell whether two configurations differ, or that they do not: the power of the next study.

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
    """Repeats of each configuration that would make the difference significant, or else, if they are fewer, show it to
    be within the margin; None where more than `MOST` would.

    Args:
        logits: the two means that are compared, taken for the true ones
        sd: standard deviation of logits over seeds
        images: that an accuracy is of
        groups: that share the spread
        compared: groups that are compared with the same one
        margin: in points
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
