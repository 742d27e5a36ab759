from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from espalier.counted import counted
from espalier.results.compare.comparison import grouped
from espalier.results.format import line_ends, numbers, point_labels, style
from espalier.results.format.captions import Caption
from espalier.results.format.protocols import chosen
from espalier.results.read import trainings
from espalier.results.read.planned_study import axis_names, headline, headline_words
from espalier.settings.registry import register

if TYPE_CHECKING:
    import pandas as pd

_WAY = ("prune", "control")
_BOX = {"boxstyle": "round,pad=0.15", "facecolor": "#FFF3B0", "edgecolor": style.GREY, "linewidth": 0.4}


@register("figure", stage="prune")
def reduction(frame, history, study: dict):
    """Top-1 against the part of the parameters that pruning removed; the parameters left stand beside each mark."""
    measure = headline(study)
    data = _means(frame, study, measure)
    data[["low", "high"]] = grouped(frame, "configuration", study)[[f"{measure}_low", f"{measure}_high"]]
    if data.empty or not (data["removed"] > 0).any():
        return style.nothing(f"No pruned network has a result yet ({counted(len(frame), 'run')} planned).", style.PAGE)
    title = f"{headline_words(study, '')} against parameters removed, by pruning method"
    figure, (panel,) = style.canvas(style.PAGE, 3.4, title=title)
    lines = [(name, line.sort_values("removed")) for name, line in _lines(data)]
    for index, (name, line) in enumerate(lines):
        look = style.look(index)
        style.intervals(panel, line["removed"], line["low"], line["high"], look["color"])
        panel.plot(line["removed"], line["mean"], label=name, gid="line", **look)
    panel.margins(x=0.06, y=0.14)
    panel.set_xlabel("Parameters removed (%)")
    panel.set_ylabel(headline_words(study))
    style.percent(panel.xaxis)
    style.percent(panel.yaxis)
    style.note(figure, style.unfinished(frame, measure))
    ends = [tuple(line[["removed", "mean"]].iloc[-1]) for _, line in lines]
    names = [name for name, _ in lines]
    if line_ends.apart(panel, ends, names):
        looks = [style.look(index) for index in range(len(lines))]
        line_ends.name(panel, ends, names, [look["color"] for look in looks], [look["marker"] for look in looks])
    else:
        style.legend(figure, *panel.get_legend_handles_labels())
    _sizes(panel, data)
    return figure


def _sizes(panel, data: "pd.DataFrame") -> None:
    """Write the parameters that are left in a box beside the best network of each size."""
    best = data.sort_values("mean", ascending=False)
    alone = best.drop_duplicates("params")
    spots = [((row.removed, row.mean), panel.transData) for row in (*alone.itertuples(), *best.itertuples())]
    before = set(panel.texts)
    point_labels.place(panel, spots, [_short(params) for params in alone["params"]], 6.0)
    for text in set(panel.texts) - before:
        text.set(bbox=_BOX, gid="params")


def _short(params: float) -> str:
    divisor, unit = numbers.count_unit([params])
    return f"{numbers.scaled(params, divisor, whole=True)}{unit}"


def caption(study: dict) -> Caption:
    """What the figure shows."""
    split = "Test" if headline(study) == "test_top1" else "Validation"
    return Caption(
        f"{split} top-1 against the part of a network's parameters that pruning removed",
        "A mark is the mean over a configuration's repeats, the bar its 95 % interval over seeds; in boxes the "
        "parameters that are left.",
        "A line begins with the network before it was pruned; others that were not pruned stand alone, at 0. "
        f"{chosen(study)}",
        alt="Lines of top-1 over the part of the parameters that was removed, from 0 at the left",
    )


def _means(frame: "pd.DataFrame", study: dict, measure: str) -> "pd.DataFrame":
    """A row a configuration: means over its repeats of `params`, of the percentage `removed` and of the accuracy, the
    `name` of its line, and the `trained` networks that it comes from."""
    pruned = frame["run.prune"].notna()
    frame = frame.assign(removed=(100 - frame["params_left"]).where(pruned, 0.0), trained=trainings.last(frame))
    groups = frame.groupby("configuration", sort=False)
    found = groups[["removed", "params", measure]].mean().rename(columns={measure: "mean"})
    found["trained"] = groups["trained"].agg(tuple)
    found["pruned"] = groups["run.prune"].first().notna()
    first = frame.drop_duplicates("configuration").set_index("configuration")
    axes = [axis for axis in study["axes"] if axis in _WAY or not axis.startswith("prune.")]
    axes = [axis for axis in axes if first[f"label.{axis}"].nunique() > 1]
    names = [axis_names(study)[axis] for axis in axes]
    labels = first[[f"label.{axis}" for axis in axes]].itertuples(index=False)
    found["name"] = [_name(names, words) for words in labels]
    return found.dropna(subset=["mean", "removed", "params"])


def _lines(data: "pd.DataFrame") -> "Iterator[tuple[str, pd.DataFrame]]":
    """Lines of pruned networks, each from the network before; and the others that were not pruned, by themselves."""
    before: set[tuple] = set()
    for name, line in data[data["pruned"]].groupby("name", sort=False):
        before |= set(line["trained"])
        yield name, data[data.index.isin(line.index) | (~data["pruned"] & data["trained"].isin(line["trained"]))]
    alone = data[~data["pruned"] & ~data["trained"].isin(before)]
    yield from alone.groupby("name", sort=False)


def _name(axes: Iterable[str], labels: Iterable[str]) -> str:
    told = ((axis, word) for axis, word in zip(axes, labels, strict=True) if word not in ("none", "–"))
    words = [word if any(map(str.isalpha, word)) else f"{axis} {word}" for axis, word in told]
    return ", ".join(words) or "not pruned"
