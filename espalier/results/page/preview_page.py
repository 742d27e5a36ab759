"""Draws a study's augmentation policies: one picture with a row a sample and a column an epoch, and one with a column a
sample and a row for each augmentation alone and for all of them.
"""

import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.plan.grid import label
from espalier.results.format import style
from espalier.results.read.planned_study import Study
from espalier.settings.keys import nested
from espalier.settings.registry import Choice
from espalier.stages.train import TrainStage

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from espalier.data.augmented_samples import Sample

_GAP, _APART = 0.08, 0.22
"""Space between images, and between the originals and the first epoch, in widths of an image."""
_LINE = 0.14
"""Height of a line of text, likewise."""
_TEXT = 5.5
_LONGEST = 56
"""Letters of a picture's name; each may be four of a file name's 255 bytes."""


@dataclass(frozen=True)
class Previewed:
    """A policy on a data set, as the first of the study's training runs that has both."""

    key: str
    """name of its picture"""
    title: str
    """label of the policy in the study"""
    data: str
    """path of the prepared data set"""
    spec: TrainStage


def policies(study: Study) -> list[Previewed]:
    """Every distinct (data set, policy) of the study's training runs, in the order of the plan."""
    found: dict[tuple, tuple[str, TrainStage]] = {}
    for point in study["points"]:
        run = study["runs"][point["runs"]["train"]]
        spec = TrainStage.model_validate_json(json.dumps(nested(run["settings"])))
        title = point["labels"].get("augment") or label(spec.augment)
        found.setdefault((study["runs"][run["parent"]]["path"], spec.augment), (title, spec))
    several = len({data for data, _ in found}) > 1
    keys: list[str] = []
    previews = []
    for (data, _), (title, spec) in found.items():
        key = _key(f"{Path(data).stem} {title}" if several else title)
        # Labels that differ in punctuation or in their ends alone.
        keys.append(next(one for one in chain([key], (f"{key}-{number}" for number in count(2))) if one not in keys))
        previews.append(Previewed(keys[-1], title, data, spec))
    return previews


def settings(spec: TrainStage) -> str:
    """The policy of a run with all its settings, those at their defaults too."""
    return ", ".join(map(_augmentation, spec.augment)) or "no augmentation"


def _augmentation(one: Choice) -> str:
    """An augmentation with all its settings."""
    return " ".join([one.name, *(f"{key}={_value(value)}" for key, value in one.settings().items())])


def draw(previewed: Previewed, samples: "Sequence[Sample]") -> "Figure":
    """One picture at page width; where images are mixed, the weights of their labels stand above them."""
    epochs = len(samples[0].seen)
    mixed = any(len(seen.labels) > 1 for sample in samples for seen in sample.seen)
    across, down = 1 + _APART + epochs * (1 + _GAP), 1 + _GAP + (2 if mixed else 1) * _LINE
    text = textwrap.wrap(settings(previewed.spec), 120, break_on_hyphens=False)
    size = style.PAGE / (across + 0.1)
    figure, (axes,) = style.canvas(style.PAGE, size * (len(samples) * down + _LINE) + 0.53 + 0.12 * len(text))
    figure.suptitle(previewed.title, x=0.006, ha="left", fontsize=9, fontweight="bold")
    axes.set_title("\n".join(text), loc="left", fontsize=7)
    axes.set_axis_off()
    columns = [0.0, *(1 + _APART + epoch * (1 + _GAP) for epoch in range(epochs))]
    for left, heading in zip(columns, ["original", *(f"epoch {epoch + 1}" for epoch in range(epochs))], strict=True):
        _write(axes, left, 0, heading, color=style.GREY)
    for row, sample in enumerate(samples):
        bottom = (row + 1) * down
        _show(axes, sample.original, columns[0], bottom, [_short(sample.name, 17)])
        for left, seen in zip(columns[1:], sample.seen, strict=True):
            lines = [f"{_short(name, 10)}: {weight:.2f}" for name, weight in seen.labels] if mixed else []
            _show(axes, seen.image, left, bottom, lines)
    axes.set(xlim=(0, across), ylim=(len(samples) * down, -_LINE), aspect="equal")
    style.note(figure, _note(previewed, "Above" if mixed else ""))
    return figure


def draw_alone(previewed: Previewed, samples: "Sequence[Sample]", each: "Sequence[Sequence[Sample]]") -> "Figure":
    """Draw the samples before augmentation, under each augmentation alone, and under all of them in the first epoch.

    The picture is as wide as the page. Where images are mixed, the shares of their labels stand below them.

    Args:
        samples: as training sees them, at least one epoch
        each: the same samples under each augmentation alone, in the policy's order
    """
    seen = [[sample.seen[0] for sample in one] for one in (*each, samples)]
    told = [_augmentation(one) for one in previewed.spec.augment]
    rows = [*zip([*(f"{one}, alone" for one in told), "all of them, one after the other"], seen, strict=True)]
    # A policy of one augmentation is that one.
    rows = [(told[0], seen[0])] if len(each) == 1 else rows
    names = [_short(sample.name, 17) for sample in samples]
    shown = [("the original", [(sample.original, name) for sample, name in zip(samples, names, strict=True)])]
    shown += [(head, [(one.image, "\n".join(_shares(one.labels))) for one in images]) for head, images in rows]
    heads = [textwrap.wrap(head, 120, break_on_hyphens=False) for head, _ in shown]
    below = [_LINE * max(text.count("\n") + bool(text) for _, text in images) for _, images in shown]
    across = len(samples) * (1 + _GAP)
    down = [_LINE * len(head) + 1 + 2 * _GAP + under for head, under in zip(heads, below, strict=True)]
    figure, (axes,) = style.canvas(style.PAGE, style.PAGE / (across + 0.1) * (sum(down) + _LINE) + 0.4)
    figure.suptitle(f"{previewed.title}: before and after", x=0.006, ha="left", fontsize=9, fontweight="bold")
    axes.set_axis_off()
    bottom = 0.0
    for head, (_, images), under, height in zip(heads, shown, below, down, strict=True):
        bottom += height
        for place, (image, text) in enumerate(images):
            left = place * (1 + _GAP)
            _show(axes, image, left, bottom - under - _GAP, [])
            _write(axes, left, bottom, text)
        _write(axes, 0, bottom - under - _GAP - 1, "\n".join(head), color=style.GREY)
    axes.set(xlim=(0, across), ylim=(sum(down) + _LINE, 0), aspect="equal")
    style.note(figure, _note(previewed, "Under" if any(below[1:]) else "", ", epoch 1"))
    return figure


def _shares(labels: Sequence[tuple[str, float]]) -> list[str]:
    """``cat 0.70 /``, ``ship 0.30`` of a mixed image; of another nothing."""
    if len(labels) == 1:
        return []
    *first, last = [f"{_short(name, 10)} {weight:.2f}" for name, weight in labels]
    return [*(f"{share} /" for share in first), last]


def _show(axes: "Axes", image: "np.ndarray", left: float, bottom: float, lines: Sequence[str]) -> None:
    """An image (H, W, C) whose lower left corner is given, framed, and text above it; of other channels than RGB the
    first."""
    from matplotlib.patches import Rectangle

    grey = {} if image.shape[2] == 3 else {"cmap": "gray", "vmin": 0, "vmax": 255}
    axes.imshow(image[..., 0] if grey else image, extent=(left, left + 1, bottom, bottom - 1), **grey)
    axes.add_patch(Rectangle((left, bottom - 1), 1, 1, fill=False, edgecolor=style.GREY, linewidth=0.3))
    _write(axes, left, bottom - 1, "\n".join(lines))


def _write(axes: "Axes", left: float, bottom: float, text: str, **look: str) -> None:
    axes.text(left, bottom - 0.05, text, fontsize=_TEXT, va="baseline", ha="left", linespacing=1.05, **look)


def _note(previewed: Previewed, labels: str, where: str = "") -> str:
    """The line at the foot.

    Args:
        labels: where labels stand, such as Above; empty where there are none
    """
    text = f"{Path(previewed.data).stem}, train split, seed {previewed.spec.seed}{where}."
    return text + (f" {labels} a mixed image: the weights of its labels." if labels else "")


def _value(found: Any) -> str:
    if isinstance(found, tuple):
        return f"[{', '.join(map(_value, found))}]"
    return f"{found:.4g}" if isinstance(found, float) else label(found)


def _short(name: str, letters: int) -> str:
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def _key(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text)[:_LONGEST].strip("-.") or "policy"
