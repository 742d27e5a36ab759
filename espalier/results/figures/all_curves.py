from espalier.counted import counted
from espalier.results.format import line_ends, loss_axis, style
from espalier.results.format.captions import Caption
from espalier.results.format.marks import names
from espalier.results.format.protocols import untested
from espalier.results.read import trainings
from espalier.results.read.planned_study import axis_names
from espalier.settings.registry import register
from espalier.settings.types import Count

_MOST = 8
"""Colours that can still be told apart."""


@register("figure", stage="train", until="extend")
def all_curves(frame, history, study: dict, *, axis: str | None = None, best: Count | None = None):
    """Validation loss and top-1 of every run against epoch, a thin line each.

    Args:
        axis: key path of the axis whose values are told apart by colour
        best: how many configurations are drawn, those of the highest mean validation top-1; null for all
    """
    frame = frame.assign(trained=trainings.last(frame)) if "run.train" in frame else frame
    chosen = frame if best is None else _best(frame, best)
    history = trainings.with_extensions(history, chosen)
    groups = _groups(chosen, study, axis, best)
    parts = {name: history[history["run"].isin(runs)] for name, runs in groups.items()}
    begun = {name: part for name, part in parts.items() if len(part)}
    asked = set(frame["trained"].dropna()) if "trained" in frame else set()
    if not begun:
        return style.nothing(f"No training run has finished an epoch yet ({len(asked)} planned).", style.PAGE)
    shown = sorted(begun, key=lambda name: -begun[name]["validation_top1"].max())[:_MOST]
    drawn = {name: part for name, part in begun.items() if name in shown}
    figure, panels = style.canvas(style.PAGE, 2.75, columns=2, title=_title(study, axis, best))
    loss_axis.scale(panels[0], [run["validation_loss"] for part in drawn.values() for _, run in part.groupby("run")])
    for panel, measure, heading in zip(panels, ("loss", "top1"), ("Loss (nats)", "Top-1 (%)"), strict=True):
        for index, (name, part) in enumerate(drawn.items()):
            _lines(panel, part, f"validation_{measure}", style.look(index), name)
        style.epochs(panel)
        panel.set_ylabel(heading)
    style.percent(panels[1].yaxis)
    # Of all runs, since the best of a part of them need not be the best.
    started = len(asked & set(history["run"]))
    notes = [style.missing(started, len(asked), what="history")]
    notes += [f"The {_MOST} of {len(begun)} values with the best validation top-1."] if len(begun) > _MOST else []
    notes.append(loss_axis.beyond_plot(_beyond(panels[0], drawn)))
    style.note(figure, " ".join(filter(None, notes)))
    if any(drawn):
        colours = [style.look(index)["color"] for index in range(len(drawn))]
        last = [part.groupby("run").last().mean(numeric_only=True) for part in drawn.values()]
        ends = [[(end["epoch"], end[f"validation_{measure}"]) for end in last] for measure in ("top1", "loss")]
        markers = [style.look(index)["marker"] for index in range(len(drawn))]
        if not line_ends.beside(panels[::-1], ends, [*drawn], colours, markers):
            style.legend(figure, *panels[0].get_legend_handles_labels())
    return figure


def caption(study: dict, *, axis: str | None, best: int | None) -> Caption:
    """What the figure shows."""
    which = (
        "every run" if best is None else f"the {counted(best, 'configuration')} of the highest mean validation top-1"
    )
    told = "" if axis is None else f", told apart by {axis_names(study).get(axis, axis)}"
    return Caption(
        f"Validation loss and top-1 after each epoch, for {which}{told}",
        "A line is a run, and ends where its training did.",
        f"The loss is the cross-entropy. {untested(study)} {trainings.note(study)}".strip(),
        alt="Two panels of lines over epochs: validation loss at the left, validation top-1 at the right",
    )


def _best(frame, best: int):
    means = frame.groupby("configuration")["validation_top1"].mean().dropna()
    return frame[frame["configuration"].isin(means.nlargest(best).index)] if len(means) else frame


def _groups(frame, study: dict, axis: str | None, best: int | None) -> dict[str, list[str]]:
    """Name in the legend → ids of the runs that trained a network last, in the order of the plan."""
    if "trained" not in frame:
        return {}
    if axis is None and best is None:
        return {"": frame["trained"].dropna().unique().tolist()}
    key = frame["configuration"].map(names(study)) if axis is None else frame[f"label.{axis}"]
    found = frame.groupby(key, sort=False)["trained"]
    return {str(name): runs.dropna().unique().tolist() for name, runs in found}


def _lines(panel, part, column: str, look: dict, name: str) -> None:
    drawn = {"color": look["color"], "linestyle": look["linestyle"], "linewidth": 0.8, "alpha": 0.75, "gid": "run"}
    for index, (_, run) in enumerate(part.groupby("run", sort=False)):
        label = {"label": name} if name and not index else {}
        # Where a run ended is seen, and whose it is also in grey.
        panel.plot(run["epoch"], run[column], marker=look["marker"], markersize=3.5, markevery=[-1], **drawn, **label)


def _beyond(panel, drawn: dict) -> dict[str, float]:
    """Name → the highest loss beyond the plot, of those that have one; marked where they leave it."""
    found = {}
    for index, (name, part) in enumerate(drawn.items()):
        colour = style.look(index)["color"]
        highest = part.groupby("epoch")["validation_loss"].max()
        if loss := loss_axis.mark(panel, [*highest.index], [*highest], colour):
            peaks = part.groupby("run")["validation_loss"].max()
            which = f"{(peaks > panel.get_ylim()[1]).sum()} of {counted(len(peaks), 'run')}"
            found[f"{which} of {name}" if name else which] = loss
    return found


def _title(study: dict, axis: str | None, best: int | None) -> str:
    by = "" if axis is None else f", by {axis_names(study).get(axis, axis)}"
    which = "each run" if best is None else f"the best {counted(best, 'configuration')}"
    return f"Validation loss and top-1 of {which} against epoch{by}"
