"""The spread over seeds, one for all groups where nothing speaks against it, else each group's own.

Sources: Brown and Forsythe 1974 (whether spreads are equal).
"""

from typing import NamedTuple

import numpy as np

ALPHA = 0.05
"""p below which a test refuses what it tests."""
_EXACT = 1e-9


class Spread(NamedTuple):
    """The spread of logits within groups."""

    sd: float
    """pooled over all groups of two values or more; NaN where there is none"""
    freedom: int
    """values less groups: degrees of freedom of `sd`"""
    equal: bool
    """whether Brown and Forsythe's test lets the groups share `sd`"""
    p: float
    """of that test; NaN where fewer than two groups have three values"""


def spread(values: np.ndarray) -> Spread:
    """The spread of groups (rows) of values, float (groups, seeds); missing values are NaN."""
    counts, own = each(values)
    several = counts > 1
    freedom = int((counts[several] - 1).sum())
    if not freedom:
        return Spread(np.nan, 0, True, np.nan)
    pooled = float(np.sqrt(((counts - 1) * own**2)[several].sum() / freedom))
    p = brown_forsythe(values)
    return Spread(pooled, freedom, not p < ALPHA, p)


def each(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of values and sample standard deviation of every group; NaN below two."""
    counts = (~np.isnan(values)).sum(axis=1)
    apart = values - means(values)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        sd = np.sqrt(np.nansum(apart**2, axis=1) / (counts - 1))
    # What rounding leaves of equal values.
    sd = np.where(sd > _EXACT * np.abs(means(values)), sd, 0.0)
    return counts, np.where(counts > 1, sd, np.nan)


def means(values: np.ndarray) -> np.ndarray:
    """Mean of every group; NaN where there is no value."""
    counts = (~np.isnan(values)).sum(axis=1)
    return np.where(counts, np.nansum(values, axis=1) / np.maximum(counts, 1), np.nan)


def brown_forsythe(values: np.ndarray) -> float:
    """p of equal spreads: an analysis of variance of the distances from each group's median.

    Groups of two values are left out, whose two distances are always equal.
    """
    # The distribution behind scipy.stats.levene, whose import would cost more than the whole table.
    from scipy.special import fdtrc

    values = values[(~np.isnan(values)).sum(axis=1) > 2]
    if len(values) < 2:
        return np.nan
    distances = np.abs(values - np.nanmedian(values, axis=1, keepdims=True))
    counts, middles = (~np.isnan(values)).sum(axis=1), means(distances)
    total = counts.sum()
    within = np.nansum((distances - middles[:, None]) ** 2) / (total - len(values))
    between = (counts * (middles - np.nansum(distances) / total) ** 2).sum() / (len(values) - 1)
    return float(fdtrc(len(values) - 1, total - len(values), between / within)) if within > 0 else np.nan
