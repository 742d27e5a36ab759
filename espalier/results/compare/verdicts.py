"""Configurations judged by their repeats: against the baseline, and which share the first place."""

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

BETTER, WORSE, SAME = "better", "worse", "no significant difference"
TOO_FEW, NO_SPREAD = "n < 2: no verdict", "no spread: no verdict"
BASELINE, NO_BASELINE = "baseline", "no baseline: no verdict"
COLUMNS = ("pairs", "difference", "low", "high", "p", "corrected_p", "paired", "verdict")

BOLD = (
    "Bold: the best mean and all that are not significantly worse than it (5 %, corrected for all pairs of rows), of "
    "rows with n of at least 2; nothing, where no row is significantly worse."
)
AGAINST = (
    "Differences from the baseline are tested by a t-test paired by seed, unpaired (Welch) where seeds do not pair; p "
    "is Holm-corrected over the rows of the table, and below 0.05 a difference is significant. No significant "
    "difference does not mean equal: few repeats in a table of many rows leave even large differences open."
)

Samples = Mapping[Hashable, Mapping[int, float]]
"""Row of a table → seed → value."""


def samples(frame: "pd.DataFrame", by: str, measure: str) -> dict[Hashable, dict[int, float]]:
    """The repeats of each group of `frame`, in its order; groups hold a seed once."""
    groups = frame.groupby(by, sort=False, observed=True, dropna=False)
    return {label: dict(zip(own["seed"], own[measure], strict=True)) for label, own in groups}


def against(found: Samples, baseline: Hashable | None) -> "pd.DataFrame":
    """A row a sample with `COLUMNS`: its difference from that of `baseline`, the 95 % interval and p of the
    difference, p Holm-corrected over all rows, and the verdict. Without a baseline nothing can be said."""
    # Captions come from modules that import this one, and must not wait for numpy.
    import pandas as pd

    from espalier.results.compare.significance import difference, holm

    compared = {label: difference(own, found.get(baseline, {})) for label, own in found.items() if label != baseline}
    corrected = dict(zip(compared, holm([one.p for one in compared.values()]), strict=True))
    rows = []
    for label in found:
        if label == baseline:
            rows.append(dict(zip(COLUMNS, [*[None] * 7, BASELINE], strict=True)))
            continue
        one, p = compared[label], corrected[label]
        verdict = _verdict(one.n, one.mean, p) if baseline in found else NO_BASELINE
        values = (one.n, one.mean, one.low, one.high, one.p, p, one.paired, verdict)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    data = pd.DataFrame(rows, index=pd.Index(list(found)), columns=list(COLUMNS))
    return data.astype(dict.fromkeys(("difference", "low", "high", "p", "corrected_p"), float) | {"pairs": "Int64"})


def _verdict(n: int, mean: float, p: float) -> str:
    from espalier.results.compare.significance import ALPHA

    if n < 2:
        return TOO_FEW
    if p != p:
        return NO_SPREAD
    if p >= ALPHA:
        return SAME
    return BETTER if mean > 0 else WORSE


def first_places(found: Samples) -> dict[Hashable, bool]:
    """Whether each sample has the highest mean, or is not significantly worse than it.

    None has where nothing is significantly worse: a first place that all share says nothing. Samples of one value
    neither have it nor keep others from it. The best is known only from the same values, so p is corrected for all
    pairs that could have been compared: by Holm over those with the best alone, of twenty equal rows one would be
    left out in 11 to 18 % of tables.
    """
    from espalier.results.compare.significance import ALPHA, difference

    values = {label: [value for value in own.values() if value == value] for label, own in found.items()}
    means = {label: sum(own) / len(own) for label, own in values.items() if len(own) > 1}
    best = max(means, key=lambda label: means[label], default=None)
    pairs = len(means) * (len(means) - 1) / 2
    # NaN is no evidence.
    worse = {label for label in means if label != best and difference(found[label], found[best]).p * pairs < ALPHA}
    return {label: bool(worse) and label in means and label not in worse for label in found}
