"""The Pareto front of accuracy against cost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

NOTE = "Rings mark the Pareto front of the means."
MORE = (
    "On the front, no other network is at least as good for less, or better for the same. The grey line is the best "
    "mean up to each cost. Points closer than their intervals may change places."
)


def front(cost: Sequence[float], value: Sequence[float]) -> "np.ndarray":
    """Whether each point is dominated by no other, shape (n,), bool.

    A point dominates another that costs no less and is worth no more, if they differ; of equal points all stand on the
    front. Missing numbers stand on none.
    """
    # Captions come from modules that import this one, and must not wait for numpy.
    import numpy as np

    cost, value = np.asarray(cost, dtype=float), np.asarray(value, dtype=float)
    known = np.flatnonzero(~np.isnan(cost) & ~np.isnan(value))
    # The cheapest first; of equal cost the best first.
    order = known[np.lexsort((-value[known], cost[known]))]
    found = np.zeros(len(cost), dtype=bool)
    best, at = -np.inf, np.nan
    for index in order:
        if value[index] > best or (value[index] == best and cost[index] == at):
            found[index] = True
            best, at = value[index], cost[index]
    return found


def draw(panel: "Axes", cost: Sequence[float], value: Sequence[float]) -> None:
    """A ring around each point of the front, and behind all the best accuracy up to each cost."""
    import numpy as np

    cost, value = np.asarray(cost, dtype=float), np.asarray(value, dtype=float)
    chosen = front(cost, value)
    corners = sorted({*zip(cost[chosen], value[chosen], strict=True)})
    line = {"color": "#C4C4C4", "linewidth": 0.8, "drawstyle": "steps-post", "label": "Pareto front"}
    panel.plot(*zip(*corners, strict=True), gid="front", **line, **_RING)


_RING = {
    "marker": "o",
    "markersize": 9,
    "markerfacecolor": "none",
    "markeredgecolor": "#333333",
    "markeredgewidth": 0.7,
    "zorder": 1.1,
}
