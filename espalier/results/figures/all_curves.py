from espalier.results.format import style
from espalier.results.format.captions import Caption
from espalier.results.format.marks import names
from espalier.results.format.protocols import untested
from espalier.results.read.planned_study import axis_names
from espalier.settings.registry import register
from espalier.settings.types import Count

_MOST = 8
"""Colours that can still be told apart."""


@register("figure", stage="train")
def all_curves(frame, history, study: dict, *, axis: str | None = None, best: Count | None = None):
    """Validation loss and top-1 of every run against epoch, a thin line each.

    Args:
        axis: key path of the axis whose values are told apart by colour
        best: only so many configurations, those of the highest mean validation top-1
    """
    chosen = frame if best is None else _best(frame, best)
    groups = _groups(chosen, study, axis, best)
    parts = {name: history[history["run"].isin(runs)] for name, runs in groups.items()}
    begun = {name: part for name, part in parts.items() if len(part)}
    asked = set(frame["run.train"].dropna()) if "run.train" in frame else set()
    if not begun:
        return style.nothing(f"No training run has finished an epoch yet ({len(asked)} planned).", style.PAGE)
    shown = sorted(begun, key=lambda name: -begun[name]["validation_top1"].max())[:_MOST]
    figure, panels = style.canvas(style.PAGE, 2.75, columns=2)
    for panel, measure, heading in zip(panels, ("loss", "top1"), ("Loss (nats)", "Top-1 (%)"), strict=True):
        for index, name in enumerate(name for name in begun if name in shown):
            _lines(panel, begun[name], f"validation_{measure}", style.look(index), name)
        panel.set_xlabel("Epoch")
        panel.set_ylabel(heading)
        panel.xaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylim(bottom=0)
    handles, words = panels[0].get_legend_handles_labels()
    if any(words):
        figure.legend(handles, words, loc="outside upper center", ncols=_columns(words))
    # Of all runs, since the best of a part of them need not be the best.
    started = len(asked & set(history["run"]))
    notes = [] if started == len(asked) else [f"Incomplete: {started} of {len(asked)} runs have a history."]
    notes += [f"The {_MOST} of {len(begun)} values with the best validation top-1."] if len(begun) > _MOST else []
    style.note(figure, " ".join(notes))
    return figure


def caption(study: dict, *, axis: str | None, best: int | None) -> Caption:
    """What the figure shows."""
    which = "every run" if best is None else f"the {best} configurations of the highest mean validation top-1"
    told = "" if axis is None else f", told apart by {axis_names(study).get(axis, axis)}"
    return Caption(
        f"Validation loss and top-1 after each epoch, for {which}{told}",
        "A line is a run, and ends where its training did.",
        f"The loss is the cross-entropy. {untested(study)}",
        alt="Two panels of lines over epochs: validation loss at the left, validation top-1 at the right",
    )


def _best(frame, best: int):
    means = frame.groupby("configuration")["validation_top1"].mean().dropna()
    return frame[frame["configuration"].isin(means.nlargest(best).index)] if len(means) else frame


def _groups(frame, study: dict, axis: str | None, best: int | None) -> dict[str, list[str]]:
    """Name in the legend → ids of training runs, in the order of the plan."""
    if "run.train" not in frame:
        return {}
    if axis is None and best is None:
        return {"": frame["run.train"].dropna().unique().tolist()}
    key = frame["configuration"].map(names(study)) if axis is None else frame[f"label.{axis}"]
    found = frame.groupby(key, sort=False)["run.train"]
    return {str(name): runs.dropna().unique().tolist() for name, runs in found}


def _lines(panel, part, column: str, look: dict, name: str) -> None:
    drawn = {"color": look["color"], "linestyle": look["linestyle"], "linewidth": 0.8, "alpha": 0.75, "gid": "run"}
    for index, (_, run) in enumerate(part.groupby("run", sort=False)):
        label = {"label": name} if name and not index else {}
        panel.plot(run["epoch"], run[column], **drawn, **label)


def _columns(names: list[str]) -> int:
    # A character of the legend is about 0.06 inches wide, its handle and gap half an inch.
    return max(1, min(len(names), int(style.PAGE / (0.5 + 0.06 * max(map(len, names))))))
