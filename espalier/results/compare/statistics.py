"""Mean, spread and confidence over repeats.

Repeats differ in their seed alone. The interval is Student's: mean ± t(n − 1) · sd / √n, which takes the
repeats for independent and roughly normal; for three repeats t is 4.30, so it is wide, and rightly so.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

LEVEL = 0.95
"""Coverage of the confidence intervals."""


class Estimate(NamedTuple):
    """What n repeats say of a quantity; spread and interval are NaN below two."""

    n: int
    mean: float
    sd: float
    low: float
    high: float


def half_width(sd: np.ndarray, n: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Half the width of the t-interval of a mean of `n` values with sample standard deviation `sd`; NaN below two."""
    # The quantile function behind scipy.stats.t, whose import would cost more than the whole table.
    from scipy.special import stdtrit

    n = np.asarray(n, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        width = stdtrit(np.where(n > 1, n - 1, 1), (1 + level) / 2) * np.asarray(sd, dtype=float) / np.sqrt(n)
    return np.where(n > 1, width, np.nan)


def estimate(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """Summarize repeats; missing values are left out."""
    found = np.asarray(values, dtype=float)
    found = found[~np.isnan(found)]
    n = len(found)
    mean = float(found.mean()) if n else np.nan
    sd = float(found.std(ddof=1)) if n > 1 else np.nan
    width = float(half_width(sd, n, level))
    return Estimate(n, mean, sd, mean - width, mean + width)


def estimates(frame: pd.DataFrame, by: str, columns: Sequence[str], level: float = LEVEL) -> pd.DataFrame:
    """`estimate` of each column a group: a row a group, columns `<column>_n`, `_mean`, `_sd`, `_low`, `_high`."""
    groups = frame.groupby(by, sort=False, observed=True, dropna=False)
    found = {}
    for column in columns:
        n, mean, sd = groups[column].count(), groups[column].mean(), groups[column].std(ddof=1)
        width = half_width(sd.to_numpy(), n.to_numpy(), level)
        parts = {"n": n, "mean": mean, "sd": sd, "low": mean - width, "high": mean + width}
        found |= {f"{column}_{name}": part for name, part in parts.items()}
    return pd.DataFrame(found)
