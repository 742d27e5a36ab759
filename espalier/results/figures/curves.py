from espalier.results.format import style
from espalier.results.format.captions import Caption
from espalier.results.format.protocols import rest
from espalier.results.read.planned_study import along, axis_names, baseline_number
from espalier.settings.registry import register

_FEW = 4
"""More lines than this in one panel leave no room for the curves of the train split."""
_MOST = 8
"""Values of an axis whose curves can still be told apart."""


@register("figure")
def curves(frame, history, study: dict, *, axis: str | None = None):
    """Loss and top-1 of train and validation against epoch: mean and range over the seeds.

    Args:
        axis: key path of the axis whose values get a line each; without one, the baseline is drawn
    """
    groups = _groups(frame, study, axis)
    planned = sum(map(len, groups.values()))
    seeds = frame.drop_duplicates("run.train").set_index("run.train")["seed"] if planned else None
    parts = {label: history[history["run"].isin(set(runs))] for label, runs in groups.items()}
    parts = {label: part.assign(seed=part["run"].map(seeds)) for label, part in parts.items() if len(part)}
    if not parts:
        return style.nothing(f"No training run has finished an epoch yet ({planned} planned).", style.PAGE)
    begun = sum(part["run"].nunique() for part in parts.values())
    shown = sorted(parts, key=lambda label: -parts[label]["validation_top1"].max())[:_MOST]
    notes = [] if begun == planned else [f"Incomplete: {begun} of {planned} runs have a history."]
    notes += [f"The {_MOST} of {len(parts)} values with the best validation top-1."] if len(parts) > _MOST else []
    parts = {label: part for label, part in parts.items() if label in shown}
    figure, panels = style.canvas(style.PAGE, 2.75, columns=2)
    both = axis is None or len(parts) <= _FEW
    for panel, measure, heading in zip(panels, ("loss", "top1"), ("Loss (nats)", "Top-1 (%)"), strict=True):
        for index, (label, part) in enumerate(parts.items()):
            if both:
                _line(panel, part, f"train_{measure}", _train_look(index, axis), _name("train", label, axis))
            _line(panel, part, f"validation_{measure}", _look(index, axis), _name("validation", label, axis), band=True)
        panel.set_xlabel("Epoch")
        panel.set_ylabel(heading)
        panel.xaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylim(bottom=0)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=min(len(parts), _fitting(names)) if axis else 2)
    style.note(figure, " ".join(notes))
    return figure


def caption(study: dict, *, axis: str | None) -> Caption:
    """What the figure shows."""
    over = baseline_number(study) is None if axis is None else not along(study, axis)[1]
    within = ", each the mean over everything else that varies" if over else ""
    baseline = "the baseline" if baseline_number(study) is not None else "all configurations"
    whose = f", {baseline}" if axis is None else f" by {axis_names(study).get(axis, axis)}, {rest(study, axis)}"
    return Caption(
        f"Loss and top-1 after each epoch{whose}",
        f"Lines are means over the seeds that reached the epoch, bands the range of validation over seeds{within}.",
        "The loss is the cross-entropy. Train values are those seen during the epoch, on augmented images.",
        alt="Two panels of lines over epochs: loss at the left, top-1 at the right, train and validation",
    )


def _groups(frame, study: dict, axis: str | None) -> dict[str, list[str]]:
    """Label of a line → ids of its training runs."""
    if "run.train" not in frame:
        return {}
    if axis is None:
        number = baseline_number(study)
        chosen = frame if number is None else frame[frame["configuration"] == number]
        return {"": chosen["run.train"].dropna().unique().tolist()}
    chosen = frame[frame["configuration"].isin(along(study, axis)[0])]
    found = chosen.groupby(f"label.{axis}", sort=False)["run.train"]
    return {str(label): runs.dropna().unique().tolist() for label, runs in found}


def _line(panel, part, column: str, look: dict, name: str, band: bool = False) -> None:
    # Whatever else varies is averaged within the seed: the band is that of the seeds.
    by_epoch = part.groupby(["epoch", "seed"])[column].mean().groupby(level="epoch")
    mean = by_epoch.mean()
    panel.plot(mean.index, mean, label=name, markevery=max(1, len(mean) // 8), **look)
    if band:
        panel.fill_between(mean.index, by_epoch.min(), by_epoch.max(), color=look["color"], alpha=0.18, linewidth=0)


def _look(index: int, axis: str | None) -> dict:
    return style.look(1 if axis is None else index) | {"linestyle": "-", "markersize": 3.5}


def _train_look(index: int, axis: str | None) -> dict:
    quiet = {"linestyle": (0, (3, 1.5)), "linewidth": 0.9, "markersize": 3, "markerfacecolor": "white"}
    return style.look(0 if axis is None else index) | quiet


def _name(split: str, label: str, axis: str | None) -> str:
    return split if axis is None else f"{label} ({split})"


def _fitting(names: list[str]) -> int:
    # A character of the legend is about 0.06 inches wide, its handle and gap half an inch.
    return max(1, int(style.PAGE / (0.5 + 0.06 * max(map(len, names)))))
