from typing import TYPE_CHECKING

from espalier.counted import counted
from espalier.results.compare.comparison import headed
from espalier.results.compare.statistics import estimate
from espalier.results.format import numbers
from espalier.results.format.captions import Caption
from espalier.results.format.table import Table, table_of
from espalier.settings.registry import register

if TYPE_CHECKING:
    import pandas as pd

AXIS = "protocol"


@register("table", axis="protocol", stage="evaluate")
def optimism(frame, study: dict) -> Table:
    """What choosing the epoch on the test split adds to test top-1: the protocols side by side, a row for each
    configuration of which both ran."""
    import pandas as pd

    axes = [axis for axis in study["axes"] if axis != AXIS and frame[f"label.{axis}"].nunique() > 1]
    rows, words = [], []
    # A study of one configuration has no axis to group by; the constant stands for it.
    by = [f"label.{axis}" for axis in axes] or pd.Series(0, index=frame.index)
    for labels, group in frame.groupby(by, sort=False, dropna=False):
        arms = {name: _by_seed(group[group[f"label.{AXIS}"] == name]) for name in ("clean", "published")}
        if all(len(arm) for arm in arms.values()):
            words.append(labels if isinstance(labels, tuple) else (labels,))
            rows.append(_row(**arms))
    data = pd.DataFrame(rows, columns=_COLUMNS)
    named = {axis: [str(label[place]) for label in words] for place, axis in enumerate(axes)}
    cells = headed(named, study) | _printed(data)
    for place, (axis, column) in enumerate(named.items()):
        data.insert(place, axis, column)
    return table_of(data, cells, len(named))


_COLUMNS = (
    *(f"{arm}_{part}" for arm in ("clean", "published") for part in ("n", "mean", "sd")),
    *("difference", "difference_low", "difference_high", "n", "paired"),
)


def _by_seed(arm: "pd.DataFrame") -> "pd.Series":
    """Test top-1 of the runs that are done, by seed."""
    return arm.dropna(subset="test_top1").set_index("seed")["test_top1"]


def _row(clean: "pd.Series", published: "pd.Series") -> dict[str, object]:
    """Both arms, and published less clean: seed by seed where they have the same seeds, else between the means."""
    row = {}
    for name, arm in (("clean", clean), ("published", published)):
        found = estimate(arm)
        row |= {f"{name}_n": found.n, f"{name}_mean": found.mean, f"{name}_sd": found.sd}
    paired = set(clean.index) == set(published.index)
    if paired:
        found = estimate((published - clean).dropna())
        middle, low, high, n = found.mean, found.low, found.high, found.n
    else:
        middle, low, high = _welch(clean, published)
        n = min(len(clean), len(published))
    named = {"difference": middle, "difference_low": low, "difference_high": high, "n": n, "paired": int(paired)}
    return row | named


def _welch(clean: "pd.Series", published: "pd.Series") -> tuple[float, float, float]:
    """Difference of the means and its 95 % interval for unequal variances (Welch 1947); NaN below two in an arm."""
    middle = float(published.mean() - clean.mean())
    if min(len(clean), len(published)) < 2:
        return middle, float("nan"), float("nan")
    from scipy.stats import ttest_ind

    found = ttest_ind(published, clean, equal_var=False).confidence_interval(0.95)
    return middle, float(found.low), float(found.high)


def _printed(data: "pd.DataFrame") -> dict[str, list[str]]:
    cells = {}
    for name, note in (("clean", ""), ("published", ", optimistic")):
        pairs = zip(data[f"{name}_mean"], data[f"{name}_sd"], strict=True)
        cells[f"{name.capitalize()}: test top-1 (%){note}"] = [numbers.spread(*pair) for pair in pairs]
    cells["Difference (points)"] = [numbers.signed(value) for value in data["difference"]]
    bounds = zip(data["difference_low"], data["difference_high"], strict=True)
    cells["95 % interval (points)"] = [numbers.between(*pair) for pair in bounds]
    counts = zip(data["n"], data["clean_n"], data["published_n"], data["paired"], strict=True)
    cells["n"] = [counted(n, "pair") if paired else f"{one}, {other}" for n, one, other, paired in counts]
    return cells


def caption(study: dict) -> Caption:
    """What the table shows and how its numbers came about."""
    return Caption(
        "Test top-1 by protocol",
        "Clean: the epoch is chosen on images set aside, the test split is scored once. Published: the best epoch on "
        "the test split. The difference is published less clean.",
        "Under published, the images set aside train as well: the difference holds both. It is taken seed by seed "
        "where both have the same seeds (n pairs; the interval is the 95 % t-interval of the mean difference), else "
        "between the means (n of each; Welch's interval). With n below 2 there is no interval. Configurations of which "
        "only one protocol has run are left out.",
    )
