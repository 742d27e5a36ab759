"""The name of each line at its right end, instead of a legend: moved apart where ends are close."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GAP = 1.18
"""Line spacing of the names, in sizes of type."""
_AWAY = 13
"""Points of type from the axes' right edge to the names."""


def name(axes: "Axes", ends: Sequence[tuple[float, float]], names: Sequence[str], colours: Sequence[str], size=6.0):
    """Write `names` to the right of the axes at the heights of `ends`, with a thin line from each end.

    Call it last: it needs the limits of the axes to stand.
    """
    from matplotlib.transforms import ScaledTranslation

    # Of the axes, which the layout makes narrower for the names.
    beside = axes.transAxes + ScaledTranslation(_AWAY / 72, 0, axes.figure.dpi_scale_trans)
    axes.figure.draw_without_rendering()
    points = axes.figure.dpi / 72
    box = axes.get_window_extent()
    dots = axes.transData.transform(ends)
    order = sorted(range(len(names)), key=lambda index: dots[index][1])
    heights = _apart([dots[index][1] for index in order], size * _GAP * points, box.y0, box.y1)
    for index, height in zip(order, heights, strict=True):
        axes.annotate(
            names[index],
            ends[index],
            (1, (height - box.y0) / box.height),
            textcoords=beside,
            fontsize=size,
            color=colours[index],
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colours[index],
                "linewidth": 0.4,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 2,
            },
        )


def _apart(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Rising heights, moved as little as it takes for each to be `gap` above the one before; as groups, centred."""
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height, 1])
        while len(groups) > 1 and _bottom(groups[-1], gap) < _bottom(groups[-2], gap) + groups[-2][1] * gap:
            (last, more), (mean, count) = groups.pop(), groups.pop()
            groups.append([(mean * count + last * more) / (count + more), count + more])
        groups[-1][0] = max(groups[-1][0], low + (groups[-1][1] - 1) * gap / 2)
    return [_bottom(group, gap) + gap * (place + 0.5) for group in groups for place in range(group[1])]


def _bottom(group: Sequence[float], gap: float) -> float:
    return group[0] - gap * group[1] / 2
