"""The name of each line at its end, instead of a legend: to the right of the axes, or inside them."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

_GAP = 1.18
"""Line spacing of the names, in sizes of type."""
_AWAY = 13
"""Points of type from the axes' right edge to the names."""
_MARKER = 5
"""Points of type from a marker to the name behind it."""
_FAR = 2.2
"""Lines of type from an end to its name beyond which a reader no longer sees whose it is."""
_SHORT = 0.985
_LONG = 26
"""Letters of a name that would take too much from the axes."""
_RIGHT = 0.85
"""Part of the axes beyond which a line from an end to its name crosses nothing that matters."""
_BETWEEN = 9
"""Places between two points of a line that a name keeps clear of."""


def apart(axes: "Axes", ends: Sequence[tuple[float, float]], names: Sequence[str], size: float = 6.0) -> bool:
    """Whether the names fit beside the ends of their lines without being moved far; if not, use a legend.

    Call it once the limits of the axes are set.
    """
    axes.figure.draw_without_rendering()
    box, gap = axes.get_window_extent(), size * _GAP * axes.figure.dpi / 72
    across, heights = axes.transData.transform(ends).T
    if min(across) < box.x0 + _RIGHT * box.width or max(map(len, names)) > _LONG:
        return False
    heights = sorted(heights)
    moved = _apart(heights, gap, box.y0, box.y1)
    near = all(abs(height - place) < _FAR * gap for height, place in zip(heights, moved, strict=True))
    return bool(near and moved[-1] < box.y1 + gap)


def beside(
    panels: Sequence["Axes"],
    ends: Sequence[Sequence[tuple[float, float]]],
    names: Sequence[str],
    colours: Sequence[str],
    markers: Sequence[str],
) -> bool:
    """Write the names beside the lines of the first panel that has room for them.

    The panels show the same lines. Returns whether one of them had room.
    """
    for panel, own in zip(panels, ends, strict=True):
        if apart(panel, own, names):
            name(panel, own, names, colours, markers)
            return True
    return False


def inside(
    axes: "Axes",
    lines: Mapping[str, "np.ndarray"],
    colours: Mapping[str, str],
    others: "Iterable[np.ndarray]" = (),
    size: float = 6.5,
) -> bool:
    """Write the name of each line beside its end, clear of all lines; where one finds no place, write none.

    Call it last: it needs the limits of the axes to stand.

    Args:
        lines: name → float (points, 2), the end last, in units of the axes
        others: more lines to keep clear of
    """
    import numpy as np

    axes.figure.draw_without_rendering()
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [tuple(points[-1]) for points in lines.values()]
    ways = []
    for points in (*lines.values(), *others):
        corners = to_axes.transform(points)
        parts = [np.linspace(a, b, _BETWEEN, endpoint=False) for a, b in pairwise(corners)]
        # The end itself is a spot.
        ways += [(tuple(place), axes.transAxes) for place in np.concatenate([*parts, corners[-1:]])[:-1]]
    before = [*axes.texts, *axes.lines]
    # It draws with numpy, which captions in the same file as a figure must not wait for.
    from espalier.results.format import point_labels

    left = point_labels.place(axes, [(end, axes.transData) for end in ends], [*lines], size, ways)
    if left:
        for artist in {*axes.texts, *axes.lines} - {*before}:
            artist.remove()
        return False
    for text in set(axes.texts) - set(before):
        text.set_color(colours[text.get_text()])
        for line in axes.lines:
            if line.get_gid() == "leader" and np.allclose(line.get_xydata()[0], text.xy):
                line.set_color(colours[text.get_text()])
    return True


def name(
    axes: "Axes",
    ends: Sequence[tuple[float, float]],
    names: Sequence[str],
    colours: Sequence[str],
    markers: Sequence[str] = (),
    size: float = 6.0,
) -> None:
    """Write `names` to the right of the axes at the heights of `ends`, with a thin line from each end.

    Call it last: it needs the limits of the axes to stand.

    Args:
        markers: those of the lines, which stand before the names where colours are not seen
    """
    from matplotlib.transforms import ScaledTranslation

    # The layout measures names before it narrows the axes, and is short of a hair for the longest.
    left, bottom, width, height = axes.figure.get_layout_engine().get()["rect"]
    axes.figure.get_layout_engine().set(rect=(left, bottom, min(width, _SHORT), height))
    # Of the axes, which the layout makes narrower for the names.
    mark, beside = (
        axes.transAxes + ScaledTranslation(away / 72, 0, axes.figure.dpi_scale_trans)
        for away in (_AWAY, _AWAY + (_MARKER if markers else 0))
    )
    axes.figure.draw_without_rendering()
    points = axes.figure.dpi / 72
    box = axes.get_window_extent()
    dots = axes.transData.transform(ends)
    order = sorted(range(len(names)), key=lambda index: dots[index][1])
    heights = _apart([dots[index][1] for index in order], size * _GAP * points, box.y0, box.y1)
    for index, height in zip(order, heights, strict=True):
        place = (height - box.y0) / box.height
        if markers:
            look = {"color": colours[index], "marker": markers[index], "markersize": 3.5, "linestyle": ""}
            axes.plot([1], [place], transform=mark, clip_on=False, gid="end", scalex=False, scaley=False, **look)
        axes.annotate(
            names[index],
            ends[index],
            (1, place),
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
                "shrinkB": 2 + (_MARKER + 2 if markers else 0),
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
