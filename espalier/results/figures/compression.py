from collections.abc import Iterable
from typing import TYPE_CHECKING

from espalier.results.compare import pareto
from espalier.results.compare.costs import WORDS, costs, unit
from espalier.results.format import style
from espalier.results.format.captions import Caption
from espalier.results.format.protocols import chosen
from espalier.results.read.planned_study import headline, headline_words
from espalier.settings.registry import register
from espalier.settings.types import Literal

if TYPE_CHECKING:
    import pandas as pd

_WAY = ("prune", "control")
"""Axes that make a line; along a line the other axes under `prune` vary."""


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
    measure = headline(study)
    frame = frame[frame["run.train"].isin(frame.loc[frame["run.prune"].notna(), "run.train"])]
    data = _means(frame, study, x)
    if data.empty:
        return style.nothing(f"No pruned network has a result yet ({len(frame)} runs planned).", style.PAGE)
    divisor, label = unit(data["cost"], x)
    figure, (panel,) = style.canvas(style.PAGE, 3.2)
    pareto.draw(panel, data["cost"] / divisor, data["mean"])
    for index, (name, line) in enumerate(data.groupby("line", sort=False)):
        look, line = style.look(index), line.sort_values("cost")
        panel.plot(line["cost"] / divisor, line["mean"], label=name, **look)
        runs = frame[frame["configuration"].isin(line.index)]
        cost = runs["configuration"].map(line["cost"]) / divisor
        dots = look | {"linestyle": "", "markersize": 2.5, "alpha": 0.6, "markeredgewidth": 0}
        panel.plot(cost, runs[measure], gid="runs", **dots)
    if data["cost"].max() > 3 * data["cost"].min() > 0:
        style.log(panel.xaxis)
    panel.set_xlabel(label)
    panel.set_ylabel(headline_words(study))
    figure.legend(*panel.get_legend_handles_labels(), loc="outside right center")
    style.note(figure, style.missing(int(frame[measure].notna().sum()), len(frame)))
    return figure


def caption(study: dict, *, x: str) -> Caption:
    """What the figure shows."""
    split = "Test" if headline(study) == "test_top1" else "Validation"
    return Caption(
        f"{split} top-1 against {WORDS[x]}, by way of pruning",
        f"A large mark is the mean over a configuration's repeats, a small one a repeat. {pareto.NOTE}",
        f"{pareto.MORE} {chosen(study, 'The epoch, and where there are rounds the round, is')}",
        alt=f"A line for each way of pruning: {WORDS[x]} to the right, top-1 upwards; rings on the Pareto front",
    )


def _means(frame: "pd.DataFrame", study: dict, x: str) -> "pd.DataFrame":
    """A row a configuration: `cost` and accuracy as means over its repeats, and the `line` it belongs to."""
    frame = frame.assign(cost=costs(frame, study, x))
    found = frame.groupby("configuration", sort=False)[["cost", headline(study)]].mean()
    found.columns = ["cost", "mean"]
    first = frame.drop_duplicates("configuration").set_index("configuration")
    axes = [axis for axis in study["axes"] if axis in _WAY or not axis.startswith("prune.")]
    axes = [axis for axis in axes if first[f"label.{axis}"].nunique() > 1]
    labels = first[[f"label.{axis}" for axis in axes]].itertuples(index=False)
    pruned = first["run.prune"].notna()
    found["line"] = [_named(words, is_pruned) for words, is_pruned in zip(labels, pruned, strict=True)]
    return found.dropna(subset=["mean", "cost"])


def _named(labels: Iterable[str], pruned: bool) -> str:
    return ", ".join(label for label in labels if label not in ("none", "–")) or ("pruned" if pruned else "not pruned")
