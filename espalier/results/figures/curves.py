from espalier.results.format import line_ends, loss_axis, style
from espalier.results.format.captions import Caption
from espalier.results.format.marks import names
from espalier.results.format.protocols import rest
from espalier.results.read import evaluations, trainings
from espalier.results.read.planned_study import along, axis_names, baseline_number
from espalier.settings.registry import register

_FEW = 4
"""More lines than this in one panel leave no room for the curves of the train split."""
_MOST = 8
"""Values of an axis whose curves can still be told apart."""


@register("figure")
def curves(frame, history, study: dict, *, axis: str | None = None, configuration: dict[str, str] | None = None):
    """Loss and top-1 of train and validation against epoch: mean and range over the seeds.

    Args:
        axis: key path of the axis whose values get a line each; without one, one configuration is drawn
        configuration: without `axis`, axis → label of the configuration that is drawn; axes that are not named, and
            all of them with null, have the study's own setting
    """
    frame = _chosen(frame, study, axis, configuration)
    groups = _groups(frame, axis)
    planned = sum(map(len, groups.values()))
    history = trainings.with_extensions(history, frame)
    seeds = frame.drop_duplicates("trained").set_index("trained")["seed"] if planned else None
    parts = {label: history[history["run"].isin(set(runs))] for label, runs in groups.items()}
    parts = {label: part.assign(seed=part["run"].map(seeds)) for label, part in parts.items() if len(part)}
    if not parts:
        return style.nothing(f"No training run has finished an epoch yet ({planned} planned).", style.PAGE)
    begun = sum(part["run"].nunique() for part in parts.values())
    shown = sorted(parts, key=lambda label: -parts[label]["validation_top1"].max())[:_MOST]
    notes = [style.missing(begun, planned, what="history")]
    notes += [f"The {_MOST} of {len(parts)} values with the best validation top-1."] if len(parts) > _MOST else []
    parts = {label: part for label, part in parts.items() if label in shown}
    which = f", by {axis_names(study).get(axis, axis)}" if axis else f" {_whose(study, configuration)}"
    figure, panels = style.canvas(style.PAGE, 2.75, columns=2, title=f"Loss and top-1 against epoch{which}")
    both = axis is None or len(parts) <= _FEW
    splits = ("train", "validation") if both else ("validation",)
    runs = [run for part in parts.values() for _, run in part.groupby("run")]
    loss_axis.scale(panels[0], [run[f"{split}_loss"] for run in runs for split in splits])
    highest = {}
    for panel, measure, heading in zip(panels, ("loss", "top1"), ("Loss (nats)", "Top-1 (%)"), strict=True):
        for index, (label, part) in enumerate(parts.items()):
            for split in splits:
                look = _look(index, axis) if split == "validation" else _train_look(index, axis)
                name, column = _name(split, label, axis), f"{split}_{measure}"
                seeds = _line(panel, part, column, look, name, band=split == "validation")
                if measure == "loss":
                    highest[name] = loss_axis.mark(panel, [*seeds.index], [*seeds], look["color"])
        style.epochs(panel)
        panel.set_ylabel(heading)
    style.percent(panels[1].yaxis)
    notes.append(loss_axis.beyond_plot(highest))
    style.note(figure, " ".join(filter(None, notes)))
    _named(figure, panels, parts, splits, axis)
    return figure


def _named(figure, panels, parts: dict, splits: tuple[str, ...], axis: str | None) -> None:
    """Names at the ends of the validation lines, or in a legend; which line is of which split always in a legend."""
    from matplotlib.lines import Line2D

    if axis is None:
        style.legend(figure, *panels[0].get_legend_handles_labels())
        return
    colours = [style.look(index)["color"] for index in range(len(parts))]
    last = [part[part["epoch"] == part["epoch"].max()].mean(numeric_only=True) for part in parts.values()]
    ends = [[(end["epoch"], end[f"validation_{measure}"]) for end in last] for measure in ("top1", "loss")]
    shown = {"train": _train_look(0, axis), "validation": _look(0, axis)} if len(splits) > 1 else {}
    handles = [Line2D([], [], **(look | {"color": style.GREY, "marker": ""})) for look in shown.values()]
    words = [*shown]
    markers = [style.look(index)["marker"] for index in range(len(parts))]
    if not line_ends.beside(panels[::-1], ends, [*parts], colours, markers):
        handles = [*(Line2D([], [], **_look(index, axis)) for index in range(len(parts))), *handles]
        words = [*parts, *words]
    if words:
        style.legend(figure, handles, words)


def _whose(study: dict, configuration: dict[str, str] | None) -> str:
    """Whose curves are drawn where no axis has lines."""
    if configuration:
        return f"of {names(study)[evaluations.shown(study, configuration)]}"
    return "of the baseline" if baseline_number(study) is not None else "over all configurations"


def caption(study: dict, *, axis: str | None, configuration: dict[str, str] | None) -> Caption:
    """What the figure shows."""
    over = not configuration and baseline_number(study) is None if axis is None else not along(study, axis)[1]
    within = ", each the mean over everything else that varies" if over else ""
    whose = (
        f" {_whose(study, configuration)}"
        if axis is None
        else f" by {axis_names(study).get(axis, axis)}, {rest(study, axis)}"
    )
    return Caption(
        f"Loss and top-1 after each epoch{whose}",
        f"Lines are means over the seeds that reached the epoch, bands the range of validation over seeds{within}.",
        "The loss is the cross-entropy. Train values are those seen during the epoch, on augmented images. "
        f"{trainings.note(study)}".strip(),
        alt="Two panels of lines over epochs: loss at the left, top-1 at the right, train and validation",
    )


def _chosen(frame, study: dict, axis: str | None, configuration: dict[str, str] | None):
    """The rows that are drawn, with the run of each that trained its network last; none of a study without runs."""
    if "run.train" not in frame:
        return frame.head(0).assign(trained=None)
    number = evaluations.shown(study, configuration) if configuration else baseline_number(study)
    drawn = along(study, axis)[0] if axis else {number} if number is not None else set(frame["configuration"])
    return frame.assign(trained=trainings.last(frame))[frame["configuration"].isin(drawn)]


def _groups(frame, axis: str | None) -> dict[str, list[str]]:
    """Label of a line → ids of the runs that trained its networks last."""
    if axis is None:
        return {"": frame["trained"].dropna().unique().tolist()}
    found = frame.groupby(f"label.{axis}", sort=False)["trained"]
    return {str(label): runs.dropna().unique().tolist() for label, runs in found}


def _line(panel, part, column: str, look: dict, name: str, band: bool = False):
    """Draw a mean with its band; returns the upper end of what is drawn, by epoch."""
    # Whatever else varies is averaged within the seed: the band is that of the seeds.
    by_epoch = part.groupby(["epoch", "seed"])[column].mean().groupby(level="epoch")
    mean = by_epoch.mean()
    panel.plot(mean.index, mean, label=name, markevery=max(1, len(mean) // 8), **look)
    if band:
        panel.fill_between(mean.index, by_epoch.min(), by_epoch.max(), color=look["color"], alpha=0.18, linewidth=0)
    return by_epoch.max() if band else mean


def _look(index: int, axis: str | None) -> dict:
    return style.look(1 if axis is None else index) | {"linestyle": "-", "markersize": 3.5}


def _train_look(index: int, axis: str | None) -> dict:
    quiet = {"linestyle": (0, (3, 1.5)), "linewidth": 0.9, "markersize": 3, "markerfacecolor": "white"}
    return style.look(0 if axis is None else index) | quiet


def _name(split: str, label: str, axis: str | None) -> str:
    return split if axis is None else f"{label} ({split})"
