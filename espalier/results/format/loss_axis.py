"""Scales the axis of losses by the ordinary runs, and marks runs whose loss explodes at its upper end.

The axis is logarithmic where the ordinary losses span more than a decade.
"""

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import TYPE_CHECKING

from espalier.results.format import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ORDINARY = 10.0
"""A loss so many times the highest one of the median run is that of a run that explodes."""
_LOG_RANGE = 10.0
_ASIDE = 7
"""Points of type between two marks."""


def scale(panel: "Axes", runs: Iterable[Sequence[float]]) -> None:
    """Set scale and limits by the losses of each run; call it before anything is drawn beyond them."""
    finite = [[loss for loss in run if isfinite(loss)] for run in runs]
    peaks = sorted(max(run) for run in finite if run)
    if not peaks:
        return
    # Of two runs the lower one: one of them may explode.
    limit = _ORDINARY * peaks[(len(peaks) - 1) // 2]
    shown = [loss for run in finite for loss in run if loss <= limit]
    low, high = min(shown), max(shown)
    if low > 0 and high / low > _LOG_RANGE:
        room = (high / low) ** 0.04
        panel.set_ylim(low / room, high * room)
        style.log(panel.yaxis)
    else:
        panel.set_ylim(0, 1.05 * high or 1.0)


def mark(panel: "Axes", epochs: Sequence[float], losses: Sequence[float], colour: str) -> float:
    """Mark at the upper end each place where a line goes beyond it: the highest loss there, 0 where none does."""
    from matplotlib.transforms import ScaledTranslation

    top = panel.get_ylim()[1]
    beyond = [loss > top for loss in losses]
    first = [epochs[place] for place, out in enumerate(beyond) if out and not (place and beyond[place - 1])]
    look = {"marker": "^", "markersize": 6, "markeredgecolor": "black", "markeredgewidth": 0.5, "linestyle": ""}
    for epoch in first:
        # Side by side where several lines leave at one epoch.
        others = sum(line.get_gid() == "beyond" and line.get_xdata()[0] == epoch for line in panel.lines)
        aside = ScaledTranslation(_ASIDE * others / 72, 0, panel.figure.dpi_scale_trans)
        at_the_top = panel.get_xaxis_transform() + aside
        where = {"transform": at_the_top, "clip_on": False, "scaley": False}
        panel.plot([epoch], [1.0], color=colour, gid="beyond", **where, **look)
    return max((loss for loss, out in zip(losses, beyond, strict=True) if out), default=0.0)


def beyond_plot(highest: dict[str, float], most: int = 4) -> str:
    """A sentence that names what goes beyond the plot, and how far; nothing where nothing does."""
    found = {name: loss for name, loss in highest.items() if loss > 0}
    words = [f"{name} (to {loss:,.0f})" for name, loss in found.items()][:most]
    words += [f"{len(found) - most} more"] if len(found) > most else []
    return f"▲ Losses beyond the plot: {', '.join(words)}." if found else ""
