"""Mean, spread and confidence over repeats.

Repeats differ in their seed alone. Accuracies are proportions: their intervals are Student's on the logit scale, with
the spread that all configurations share where nothing speaks against it, and transformed back.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from espalier.results.compare.logits import percents
from espalier.results.compare.spread import each, means

if TYPE_CHECKING:
    import pandas as pd

    from espalier.results.compare.samples import Samples

LEVEL = 0.95
"""Coverage of the confidence intervals."""


class Estimate(NamedTuple):
    """What n repeats say of a quantity; spread and interval are NaN below two."""

    n: int
    mean: float
    sd: float
    low: float
    high: float


def half_width(sd: np.ndarray, n: np.ndarray, level: float = LEVEL, freedom: np.ndarray | None = None) -> np.ndarray:
    """Half the width of the t-interval of a mean of `n` values with standard deviation `sd`; NaN below two.

    Args:
        freedom: degrees of freedom of `sd`; n − 1 where it is that of these values alone
    """
    # The quantile function behind scipy.stats.t, whose import would cost more than the whole table.
    from scipy.special import stdtrit

    n = np.asarray(n, dtype=float)
    freedom = n - 1 if freedom is None else np.asarray(freedom, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        width = stdtrit(np.where(freedom > 0, freedom, 1), (1 + level) / 2) * np.asarray(sd, dtype=float) / np.sqrt(n)
    return np.where(n > 1, width, np.nan)


def estimate(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """Summarize repeats of a quantity that is no proportion; missing values are left out."""
    found = np.asarray(values, dtype=float)
    found = found[~np.isnan(found)]
    n = len(found)
    mean = float(found.mean()) if n else np.nan
    sd = float(found.std(ddof=1)) if n > 1 else np.nan
    width = float(half_width(sd, n, level))
    return Estimate(n, mean, sd, mean - width, mean + width)


def estimates(found: "Samples", level: float = LEVEL) -> "pd.DataFrame":
    """A row a group: `n` seeds, mean and sample standard deviation of the accuracies in points, and the interval
    (`low`, `high`) from their logits, which lies within 0 and 100."""
    import pandas as pd

    percent, logits = found.percent.to_numpy(float), found.logits
    n, own = each(logits)
    pooled = found.spread
    sd, freedom = (pooled.sd, pooled.freedom) if pooled.equal else (own, n - 1)
    middle, width = means(logits), half_width(sd, n, level, freedom)
    images = found.images.to_numpy(float)
    columns = {"n": n, "mean": means(percent), "sd": each(percent)[1]}
    columns |= {"low": percents(middle - width, images), "high": percents(middle + width, images)}
    return pd.DataFrame(columns, index=found.percent.index)
