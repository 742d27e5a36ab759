from collections.abc import Iterable
from typing import TYPE_CHECKING

from espalier.counted import counted
from espalier.results.compare import pareto
from espalier.results.compare.comparison import grouped
from espalier.results.compare.costs import WORDS, costs, unit
from espalier.results.format import line_ends, style
from espalier.results.format.captions import Caption
from espalier.results.format.protocols import chosen
from espalier.results.read import trainings
from espalier.results.read.planned_study import headline, headline_words
from espalier.settings.registry import register
from espalier.settings.types import Literal

if TYPE_CHECKING:
    import pandas as pd

_WAY = ("prune", "control")
"""Axes that make a line; along a line the other axes under `prune` vary."""
_ESTIMATES = ["mean", "low", "high"]


@register("figure", stage="prune")
def compression(
    frame,
    history,
    study: dict,
    *,
    x: Literal["nonzeros", "params", "macs", "file_bytes", "latency_1", "latency_64"] = "nonzeros",
):
    """Test top-1 against what is left of a network after pruning: a line for each way of pruning, and the Pareto front.

    Args:
        x: what is left: parameters that are not zero, parameters, multiply-accumulates of one image, bytes of the
            file of weights, or CPU latency of 1 or 64 images
    """
    import numpy as np

    measure, whole = headline(study), frame
    trained = trainings.last(frame)
    frame = frame[trained.isin(trained[frame["run.prune"].notna()])]
    # Of the whole frame, since all configurations share a spread.
    data = _means(frame, study, x, grouped(whole, "configuration", study))
    if data.empty:
        return style.nothing(f"No pruned network has a result yet ({counted(len(frame), 'run')} planned).", style.PAGE)
    divisor, label = unit(data["cost"], x)
    title = f"{headline_words(study, '')} against {WORDS[x]}, by pruning method"
    figure, (panel,) = style.canvas(style.PAGE, 3.2, title=title)
    pareto.draw(panel, data["cost"] / divisor, data["mean"])
    lines = {name: line.sort_values("cost") for name, line in data.groupby("line", sort=False)}
    looks = {name: style.look(index) for index, name in enumerate(lines)}
    for name, line in lines.items():
        cost = line["cost"] / divisor
        style.intervals(panel, cost, line["low"], line["high"], looks[name]["color"])
        panel.plot(cost, line["mean"], label=name, **looks[name])
    if data["cost"].max() > 3 * data["cost"].min() > 0:
        style.log(panel.xaxis)
    panel.set_xlabel(label)
    panel.set_ylabel(headline_words(study))
    panel.margins(x=0.07)
    style.percent(panel.yaxis)
    style.note(figure, style.unfinished(frame, measure))
    # Where least is left, ways of pruning differ most.
    points = {name: np.column_stack((line["cost"] / divisor, line["mean"]))[::-1] for name, line in lines.items()}
    bars = [np.array([[row.cost / divisor, end] for end in (row.low, row.mean, row.high)]) for row in data.itertuples()]
    known = [bar for bar in bars if not np.isnan(bar).any()]
    if not line_ends.inside(panel, points, {name: look["color"] for name, look in looks.items()}, known):
        style.legend(figure, *panel.get_legend_handles_labels())
    return figure


def caption(study: dict, *, x: str) -> Caption:
    """What the figure shows."""
    split = "Test" if headline(study) == "test_top1" else "Validation"
    return Caption(
        f"{split} top-1 against {WORDS[x]}, by pruning method",
        f"A mark is the mean over a configuration's repeats, the bar its 95 % interval over seeds. {pareto.NOTE}",
        f"{pareto.MORE} {chosen(study, 'The epoch, and where there are rounds the round, is')}",
        alt=f"A line for each way of pruning: {WORDS[x]} to the right, top-1 upwards; rings on the Pareto front",
    )


def _means(frame: "pd.DataFrame", study: dict, x: str, estimates: "pd.DataFrame") -> "pd.DataFrame":
    """A row a configuration: its mean `cost`, `mean` accuracy with the interval from `low` to `high`, and the `line` it
    belongs to."""
    measure = headline(study)
    found = costs(frame, study, x).groupby(frame["configuration"], sort=False).mean().to_frame("cost")
    found = found.join(estimates[[f"{measure}_{name}" for name in _ESTIMATES]].set_axis(_ESTIMATES, axis=1))
    first = frame.drop_duplicates("configuration").set_index("configuration")
    axes = [axis for axis in study["axes"] if axis in _WAY or not axis.startswith("prune.")]
    axes = [axis for axis in axes if first[f"label.{axis}"].nunique() > 1]
    labels = first[[f"label.{axis}" for axis in axes]].itertuples(index=False)
    pruned = first["run.prune"].notna()
    found["line"] = [_named(words, is_pruned) for words, is_pruned in zip(labels, pruned, strict=True)]
    return found.dropna(subset=["mean", "cost"])


def _named(labels: Iterable[str], pruned: bool) -> str:
    return ", ".join(label for label in labels if label not in ("none", "–")) or ("pruned" if pruned else "not pruned")
