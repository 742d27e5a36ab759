from typing import TYPE_CHECKING

from espalier.results.format import numbers, style
from espalier.results.format.captions import Caption
from espalier.results.format.marks import names
from espalier.results.read import evaluations
from espalier.results.read.planned_study import unit
from espalier.settings.registry import register

if TYPE_CHECKING:
    import pandas as pd

_MOST = 6
"""Configurations whose lines can still be told apart;"""
_FEW = 3
"""more of them leave no room for the spread of each."""


@register("figure", stage="evaluate", metric="calibration")
def reliability(frame, history, study: dict):
    """Top-1 on the test split against the confidence of the answers, and the number of images in each bin of
    confidence."""
    rows = evaluations.table(frame, study, "calibration", ())
    planned = len(frame)
    if rows.empty:
        return style.nothing(f"No evaluation has measured this yet ({planned} planned).", style.PAGE)
    named = names(study)
    found = list(dict.fromkeys(rows["configuration"]))
    title = "Test top-1 against confidence of the answer, by configuration"
    figure, (whole,) = style.canvas(style.PAGE, 4.4, title=title)
    whole.remove()
    panel, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    panel.plot([0, 100], [0, 100], color=style.GREY, linestyle="--", linewidth=0.8, label="as sure as right")
    for index, configuration in enumerate(found[:_MOST]):
        own = rows[rows["configuration"] == configuration]
        repeats = own["repeat"].nunique()
        pooled = _pooled(own)
        label = f"{named[configuration]} (ECE {numbers.plain(_ece(own), 1)} %, n = {repeats})"
        look = style.look(index) | {"linestyle": "-"}
        if repeats > 1 and len(found) <= _FEW:
            style.intervals(panel, pooled["confidence"], pooled["lowest"], pooled["highest"], look["color"])
        panel.plot(pooled["confidence"], pooled["top1"], label=label, gid="bins", **look)
        middles = (pooled["low"] + pooled["high"]) / 2
        below.plot(middles, pooled["share"], gid="share", **(look | {"linewidth": 0.9}))
    panel.set_ylabel("Test top-1 (%)")
    below.set_yscale("log")
    below.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    below.set_ylabel("Images (%)")
    below.set_xlabel("Confidence: probability of the likeliest class (%)")
    for axis in (panel.yaxis, panel.xaxis):
        style.percent(axis)
    style.percent(below.xaxis)
    style.legend(figure, *panel.get_legend_handles_labels())
    notes = [style.missing(len(rows.drop_duplicates(["configuration", "repeat"])), planned)]
    notes += [f"The first {_MOST} of {len(found)} configurations."] if len(found) > _MOST else []
    style.note(figure, " ".join(filter(None, notes)))
    return figure


def _pooled(own: "pd.DataFrame") -> "pd.DataFrame":
    """The non-empty confidence bins of one configuration, with the images of all repeats pooled.

    Columns: `images`, mean `confidence` and `top1`, `share` of the images in percent, and the `lowest` and `highest`
    top-1 of a repeat.
    """
    ends = own[own["images"] > 0].groupby(["low", "high"])["top1"].agg(["min", "max"]).reset_index()
    weighted = own.assign(confidence=own["confidence"] * own["images"], top1=own["top1"] * own["images"])
    sums = weighted.groupby(["low", "high"])[["images", "confidence", "top1"]].sum()
    sums = sums[sums["images"] > 0].reset_index()
    sums["share"] = 100 * sums["images"] / sums["images"].sum()
    means = {name: sums[name] / sums["images"] for name in ("confidence", "top1")}
    return sums.assign(**means, lowest=ends["min"], highest=ends["max"])


def _ece(own: "pd.DataFrame") -> float:
    """The expected calibration error of these bins, a mean over the repeats."""
    distances = (own["confidence"] - own["top1"]).abs() * own["images"]
    sums = own.assign(distance=distances).groupby("repeat")[["distance", "images"]].sum()
    return float((sums["distance"] / sums["images"]).mean())


def caption(study: dict) -> Caption:
    """What the figure shows."""
    return Caption(
        "How often answers of a confidence are right on the test images",
        "Above: top-1 against mean confidence; below the dashed line a network is surer than it is right. Below: the "
        "share of the images.",
        "Images stand in bins of equal width of the probability of their likeliest class, those of all repeats "
        f"({unit(study)}) together; upright lines reach from the lowest repeat to the highest. Shares are on a "
        "logarithmic scale. ECE is the distance from the line, a mean over the images and then over n repeats.",
        alt="Top-1 over confidence with a dashed diagonal, and under it a histogram of the confidence",
    )
