from math import isnan

from espalier.results.format import numbers, style
from espalier.results.format.captions import Caption
from espalier.results.format.protocols import chosen, rest
from espalier.results.read.planned_study import along, axis_names, headline, headline_words
from espalier.settings.registry import register

_MOST = 40
"""Values of an axis that one figure can show legibly."""


@register("figure")
def by_axis(frame, history, study: dict, *, axis: str):
    """Test top-1 by the values of one axis: every seed a dot, the mean a bar, its 95 % interval a line.

    Args:
        axis: key path of the axis whose values are compared
    """
    from espalier.results.compare.samples import samples
    from espalier.results.compare.statistics import estimates

    measure, by = headline(study), f"label.{axis}"
    numbers_chosen, alone = along(study, axis)
    chosen = frame[frame["configuration"].isin(numbers_chosen)]
    values = {str(label): group for label, group in chosen.groupby(by, sort=False)}
    done = int(chosen[measure].notna().sum())
    if not done:
        return style.nothing(f"No run along {axis} has a result yet ({len(chosen)} planned).")
    kept = dict(sorted(values.items(), key=lambda item: -_rank(item[1]))[:_MOST]) if len(values) > _MOST else values
    title = f"{headline_words(study, '')} by {axis_names(study).get(axis, axis)}"
    figure, (panel,) = style.canvas(style.COLUMN, 0.75 + 0.32 * len(kept), title=title)
    # All configurations share a spread; means over other axes have one of their own.
    found = samples(frame, "configuration" if alone else by, measure)
    told = estimates(found)
    for row, group in enumerate(kept.values()):
        key = group["configuration" if alone else by].iloc[0]
        _row(panel, row, found.percent.loc[key].dropna().to_numpy(), told.loc[key], style.look(row))
    baseline = (study.get("baseline") or {}).get(axis)
    names = [f"{label}\n(baseline)" if label == baseline else label for label in kept]
    panel.set_yticks(range(len(kept)), names)
    panel.set_ylim(len(kept) - 0.5, -0.5)
    panel.grid(axis="y", visible=False)
    panel.set_xlabel(headline_words(study))
    style.percent(panel.xaxis)
    notes = [style.unfinished(chosen, measure)]
    if len(kept) < len(values):
        notes.append(f"The {_MOST} of {len(values)} values with the best validation top-1.")
    style.note(figure, " ".join(filter(None, notes)))
    return figure


def caption(study: dict, *, axis: str) -> Caption:
    """What the figure shows."""
    split = "Test" if headline(study) == "test_top1" else "Validation"
    within = "" if along(study, axis)[1] else ", the mean over everything else that varies"
    return Caption(
        f"{split} top-1 by {axis_names(study).get(axis, axis)}, {rest(study, axis)}",
        f"Each dot is a seed{within}; the bar is the mean, the line its 95 % interval over seeds.",
        f"The numbers at the right are mean ± sample standard deviation over n seeds. {chosen(study)}",
        alt="One row a value, with a dot a seed, a bar at the mean and a line over its interval; top-1 to the right",
    )


def _rank(group) -> float:
    mean = group["validation_top1"].mean()
    return float("-inf") if isnan(mean) else mean


def _row(panel, row: int, values, found, look: dict) -> None:
    if not found.n:
        panel.annotate("no result yet", (0.5, row), xycoords=("axes fraction", "data"), **_TEXT, ha="center")
        return
    color, marker = look["color"], look["marker"]
    # Repeats keep their places side by side, so that equal values do not hide one another.
    offsets = [0.12 * (index - (len(values) - 1) / 2) / max(1, len(values) / 5) for index in range(len(values))]
    places = [row + offset for offset in offsets]
    panel.plot(values, places, marker, color=color, markersize=4, alpha=0.75, markeredgewidth=0, gid="seeds")
    if found.n > 1:
        panel.plot([found.low, found.high], [row, row], "-", color="black", linewidth=0.8, gid="interval", zorder=1.5)
    panel.plot([found["mean"]], [row], "|", color="black", markersize=11, markeredgewidth=1.6, gid="mean")
    text = f"{numbers.spread(found['mean'], found['sd'])} (n = {found.n:.0f})"
    panel.annotate(text, (1.02, row), xycoords=("axes fraction", "data"), **_TEXT, ha="left")


_TEXT = {"va": "center", "fontsize": 6.5, "color": style.GREY}
