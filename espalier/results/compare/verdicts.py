"""Configurations judged by their seeds: against the baseline, and which share the first place."""

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from espalier.results.compare.samples import Samples

BETTER, WORSE, EQUIVALENT, OPEN = "better", "worse", "equivalent", "not resolved"
TOO_FEW, NO_SPREAD = "n < 2: no verdict", "no spread: no verdict"
BASELINE, NO_BASELINE = "baseline", "no baseline: no verdict"
COLUMNS = ("difference", "low", "high", "p", "images_low", "images_high", "repeats", "verdict")

BOLD = (
    "Bold: the best mean and all that are not significantly worse than it (5 %, corrected for all pairs of rows), of "
    "rows with n of at least 2; nothing, where no row is significantly worse."
)
SHORT_BOLD = "Bold: the best, and all not significantly worse."
RESOLVED = "Not resolved: the seeds tell neither a difference nor equality; so many repeats probably would."

WITHIN_SEED = (
    "n counts seeds: the value of a seed is the mean over whatever else varies, of the settings that have a result; a "
    "seed that lacks one of them is left out. Rows are such means, and get no verdict."
)


def against_words(margin: float) -> str:
    """How verdicts come about, for a caption."""
    return (
        "Differences from the baseline are tested over seeds, on the logit scale with the spread of all "
        "configurations, by Dunnett's test; by Welch's, corrected after Holm, where spreads are not equal. Intervals "
        "and p are corrected for the rows of the table. Better and worse: p below 0.05; equivalent: surely within "
        f"{margin:g} points; not resolved: neither, and so many repeats would probably tell (power 0.8)."
    )


def against(
    found: "Samples",
    baseline: Hashable | None,
    margin: float,
    images: Mapping[Hashable, tuple[float, float]] | None = None,
) -> "pd.DataFrame":
    """Compare every group with the baseline: a row a group with `COLUMNS`.

    These are the difference in points, its simultaneous 95 % interval over seeds and corrected p, its 95 % interval
    over test images, the repeats that would resolve it, and the verdict. Without a baseline nothing is compared.

    Args:
        margin: points within which a group is equivalent to the baseline
        images: group → interval of its difference on other test images
    """
    # Captions come from modules that import this one, and must not wait for numpy.
    import numpy as np
    import pandas as pd

    groups = list(found.percent.index)
    data = pd.DataFrame(index=found.percent.index, columns=list(COLUMNS), dtype=float).astype({"verdict": object})
    counts = found.percent.notna().sum(axis=1)
    data["verdict"] = np.where(counts < 2, TOO_FEW, NO_BASELINE)
    for label, ends in (images or {}).items():
        data.loc[label, ["images_low", "images_high"]] = ends
    if baseline not in groups:
        return data
    from espalier.results.compare import spread
    from espalier.results.compare.significance import differences

    control = groups.index(baseline)
    told = differences(found.logits, found.images.to_numpy(float), control, found.spread)
    percents, logits = found.percent.mean(axis=1), spread.means(found.logits)
    data["difference"] = (percents - percents[baseline]).drop(baseline)
    data["low"], data["high"], data["p"] = told.low, told.high, told.p
    compared = int((~np.isnan(told.p)).sum())
    for place, label in enumerate(groups):
        apart = data.loc[label, "difference"]
        significant = told.p[place] < spread.ALPHA
        within = told.inner_low[place] >= -margin and told.inner_high[place] <= margin
        if label == baseline:
            verdict = BASELINE
        elif min(counts[label], counts[baseline]) < 2:
            verdict = TOO_FEW
        elif np.isnan(told.p[place]):
            verdict = NO_SPREAD
        elif significant and (apart > 0) == (logits[place] > logits[control]):
            verdict = BETTER if apart > 0 else WORSE
        elif within and not significant and abs(apart) <= margin:
            verdict = EQUIVALENT
        elif significant or within:
            # One seed far from the others: logits, which are tested, tell otherwise than the accuracies shown.
            verdict = OPEN
        else:
            needed = _repeats(found, place, control, compared, margin)
            data.loc[label, "repeats"] = np.nan if needed is None else needed
            verdict = f"{OPEN}: {_number(needed)} repeats would"
        data.loc[label, "verdict"] = verdict
    return data


def first_places(found: "Samples") -> dict[Hashable, bool]:
    """Whether each group has the highest mean, or is not significantly worse than it.

    None has where nothing is significantly worse: a first place that all share says nothing. Groups of one value
    neither have it nor keep others from it. The best is known only from the same values, so p is corrected for all
    pairs that could have been compared: by Holm over those with the best alone, of twenty equal rows one would be
    left out in 11 to 18 % of tables.
    """
    import numpy as np

    from espalier.results.compare.significance import worse_than

    several = (found.percent.notna().sum(axis=1) > 1).to_numpy()
    if several.sum() < 2:
        return dict.fromkeys(found.percent.index, False)
    means = found.percent.mean(axis=1).where(several).to_numpy(float)
    pairs = several.sum() * (several.sum() - 1) / 2
    worse = worse_than(found.logits, int(np.nanargmax(means)), found.spread, pairs) & several
    first = several & ~worse & worse.any()
    return dict(zip(found.percent.index, first.tolist(), strict=True))


def _repeats(found: "Samples", place: int, control: int, compared: int, margin: float) -> int | None:
    from espalier.results.compare.repeats_needed import repeats
    from espalier.results.compare.spread import each, means

    counts, own = each(found.logits)
    middle = means(found.logits)[[place, control]]
    spread = found.spread
    if spread.equal:
        sd, groups = spread.sd, max(2, round(spread.freedom / max(1, counts.max() - 1)))
    else:
        sd, groups = float((own[[place, control]] ** 2).mean() ** 0.5), 2
    needed = repeats(tuple(middle), sd, float(found.images.iloc[place]), groups, compared, margin)
    # More than there are: with these it was not told.
    return needed and max(needed, int(min(counts[place], counts[control])) + 1)


def _number(repeats: int | None) -> str:
    from espalier.results.compare.repeats_needed import MOST

    return f"over {MOST:,}" if repeats is None else str(repeats)
