"""An axis of accuracies on which nearly right ones are told apart, also where others fail altogether."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from espalier.results.format.error_scale import ErrorScale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROOM = 0.05
TOLD = "Where accuracies lie far apart, their axis is logarithmic in the error."
"""What captions say of it."""


def scale(panel: "Axes", values: Iterable[float]) -> ErrorScale:
    """Give the upright axis of a panel ticks and limits for top-1 in percent; what is drawn is placed by the scale that
    is returned."""
    found = ErrorScale(values)
    panel.set_yticks([found(tick) for tick in found.ticks], [f"{tick:g}" for tick in found.ticks])
    panel.set_ylim(-_ROOM, 1 + _ROOM)
    return found
