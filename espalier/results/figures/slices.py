from math import ceil, isfinite
from textwrap import fill
from typing import TYPE_CHECKING

from espalier.results.compare.axis_values import Values, along
from espalier.results.compare.importance import importance
from espalier.results.format import error_axis, style
from espalier.results.format.captions import Caption
from espalier.results.format.protocols import untested
from espalier.results.read import rungs
from espalier.settings.registry import register

if TYPE_CHECKING:
    import pandas as pd

_MOST, _ACROSS = 8, 4
"""Axes that find room on a page, and in one row of it;"""
_WORDS, _TICKS = 10, 5
"""words that find room on one of them, and numbers that have a tick each."""
_LETTERS = 11
"""Letters of a line of a word; longer ones, or more than a few, are written aslant."""
_GREY = "#B0B0B0"
_WIDE = 0.5
"""Part of the room of a word over which its configurations lie."""


@register("figure")
def slices(frame, history, study: dict):
    """Validation top-1 of every configuration against its value on each axis, a panel for each axis: where good values
    lie."""
    scores, stopped = _scores(frame)
    known = scores.dropna()
    if known.empty:
        return style.nothing(f"No configuration has a result yet ({len(scores)} planned).", style.PAGE)
    axes = along(frame, scores.index, study)
    shown = _chosen(axes, frame, study)
    rows, columns = ceil(len(shown) / _ACROSS) or 1, min(len(shown), _ACROSS) or 1
    title = "Validation top-1 by the value of each setting"
    figure, panels = style.canvas(style.PAGE, 0.4 + 1.9 * rows, columns, title, rows)
    notes = [f"Not shown: {', '.join(one.head for one in axes if one not in shown)}."] if len(axes) > _MOST else []
    for number, panel in enumerate(panels):
        if number >= max(1, len(shown)):
            panel.set_axis_off()
            continue
        place = error_axis.scale(panel, known)
        if shown:
            x, cut = _across(panel, shown[number], scores)
            notes += [cut] if cut else []
            _drawn(panel, x, scores.map(place, na_action="ignore").to_numpy(), stopped)
        if number % _ACROSS:
            panel.set_yticklabels([])
        else:
            panel.set_ylabel("Validation top-1 (%)")
    style.legend(figure, *panels[0].get_legend_handles_labels())
    if len(known) < len(scores):
        notes.append(style.missing(len(known), len(scores), "configuration"))
    style.note(figure, " ".join(notes))
    return figure


def _scores(frame: "pd.DataFrame") -> tuple["pd.Series", "pd.Series"]:
    """Configuration → mean top-1 over its seeds at its end, or where it was stopped; and whether it was."""
    means = frame.groupby("configuration", sort=False)
    ends = means["validation_top1"].mean()
    if "stopped_top1" not in frame:
        return ends, ends.map(lambda _: False)
    return ends.fillna(means["stopped_top1"].mean()), means["stopped_at"].first().notna()


def _chosen(axes: list[Values], frame: "pd.DataFrame", study: dict) -> list[Values]:
    """All in the order of the study; of too many the most important, where that can be said, or else the first."""
    if len(axes) <= _MOST:
        return axes
    parts = importance(frame, study).parts
    order = [part.values.axis for part in parts] or [one.axis for one in axes]
    return [one for one in axes if one.axis in order[:_MOST]]


def _across(panel, values: Values, scores: "pd.Series") -> tuple[list[float], str]:
    """Set up the x axis of a panel; the place of each configuration on it, and a note on those left out.

    A configuration that is not shown is at NaN.
    """
    panel.set_xlabel(values.head)
    if values.numbers is None:
        return _words(panel, values, scores)
    found = sorted({number for number in values.numbers if isfinite(number)})
    panel.set_xlim(*_around(found, values.logarithmic))
    if values.logarithmic:
        style.log(panel.xaxis, small=True)
    if len(found) <= _TICKS:
        panel.set_xticks(found, [f"{number:g}" for number in found])
    without = len(values.numbers) - sum(map(isfinite, values.numbers))
    return values.numbers, f"Without {values.head}, not in its panel: {without}." if without else ""


def _around(found: list[float], logarithmic: bool) -> tuple[float, float]:
    """The limits of an axis of numbers, with a little room."""
    low, high = found[0], found[-1]
    if logarithmic:
        room = (high / low) ** 0.06
        return low / room, high * room
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room


def _words(panel, values: Values, scores: "pd.Series") -> tuple[list[float], str]:
    """Each word has a strip, over which its configurations lie side by side in the order of the study."""
    words = list(dict.fromkeys(values.labels))
    best = {word: scores[[label == word for label in values.labels]].max() for word in words}
    shown = [word for word in words if word in sorted(words, key=lambda word: -_rank(best[word]))[:_WORDS]]
    counts = {word: values.labels.count(word) for word in shown}
    seen, found = dict.fromkeys(shown, 0), []
    for label in values.labels:
        if label not in seen:
            found.append(float("nan"))
            continue
        found.append(shown.index(label) + _WIDE * ((seen[label] + 0.5) / counts[label] - 0.5))
        seen[label] += 1
    folded = [fill(word, _LETTERS) for word in shown]
    slanted = len(shown) * max(map(len, shown)) > 3 * _LETTERS
    aslant = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    panel.set_xticks(range(len(shown)), folded, **aslant)
    panel.set_xlim(-0.6, len(shown) - 0.4)
    panel.grid(visible=False, axis="x")
    cut = f"{values.head}: the {len(shown)} of {len(words)} values with the best top-1."
    return found, cut if len(shown) < len(words) else ""


def _rank(value: float) -> float:
    return value if isfinite(value) else float("-inf")


def _drawn(panel, x: list[float], y, stopped: "pd.Series") -> None:
    import numpy as np

    x, stopped = np.asarray(x), stopped.to_numpy(bool)
    finished = np.flatnonzero(~stopped & np.isfinite(y))
    parts = [("stopped, as it stood", np.flatnonzero(stopped), {"color": _GREY, "markersize": 3.2})]
    parts += [("at its end", finished, {"color": style.COLOURS[0], "markersize": 3.4, "alpha": 0.8})]
    best = finished[y[finished] == y[finished].max()] if len(finished) else finished
    parts += [("best", best, {"color": style.COLOURS[1], "markersize": 4.5, "marker": "D"})]
    for label, chosen, look in parts:
        if len(chosen):
            look = {"marker": "o", "linestyle": "", "markeredgewidth": 0, "label": label} | look
            panel.plot(x[chosen], y[chosen], gid=label, **look)


def caption(study: dict) -> Caption:
    """What the figure shows."""
    told = "Grey ones were stopped, and stand at what they had reached: their trainings are shorter."
    stopped = told if rungs.stops(study) else ""
    return Caption(
        "Validation top-1 of every configuration over the value of each setting",
        f"A dot is the mean over a configuration's seeds; all other settings vary too. {stopped}".strip(),
        f"Within a word, configurations stand in the order of the study. {error_axis.TOLD} {untested(study)}",
        alt="Panels of dots, one a setting: its values to the right, validation top-1 upwards",
    )
