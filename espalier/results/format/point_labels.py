"""Names beside points without overlap: each takes the nearest free place, with a thin line where that is far."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox, Transform

    Spot = tuple[tuple[float, float], Transform]

_RADII = (7, 10, 14, 20, 28, 38, 50)
"""Distances, in points of type, at which a place is looked for."""
_ANGLES = np.deg2rad([0, 180, 90, 270, *(way * turn for turn in range(15, 180, 15) for way in (1, -1) if turn != 90)])
_NEAR = 10
"""Distance from which on a line leads from the name to its point;"""
_STEPS = np.linspace(0, 1, 24)[:, None]
"""places on that line, which must not lead over other points or names."""
_POINT = 7
"""Size of a point."""


def place(
    axes: "Axes", spots: "Sequence[Spot]", names: Sequence[str], size: float = 6.5, ways: "Sequence[Spot]" = ()
) -> list[str]:
    """Write `names` beside the first of the `spots`, clear of each other and of all spots.

    Call it last: it needs the limits of the axes to stand. Returns the names that found no place.

    Args:
        ways: places on lines, which names keep clear of as well, but over which a line may lead to a name
    """
    from matplotlib.patheffects import withStroke

    figure = axes.figure
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    scale = figure.dpi / 72
    inside = axes.get_window_extent(renderer)
    dots = np.array([transform.transform(xy) for xy, transform in (*spots, *ways)])
    taken = [(*(dot - 3 * scale), *(dot + 3 * scale)) for dot in dots[: len(spots)]]
    lines = np.array([(*(dot - scale), *(dot + scale)) for dot in dots[len(spots) :]]).reshape(-1, 4)
    left: list[str] = []
    halo = [withStroke(linewidth=2, foreground="white")]
    for (xy, transform), dot, name in zip(spots, dots, names, strict=False):
        text = axes.annotate(
            name, xy, (0, 0), xycoords=transform, textcoords="offset points", fontsize=size, va="center", ha="center"
        )
        text.set_path_effects(halo)
        extent = text.get_window_extent(renderer)
        half = np.array((extent.width, extent.height)) / 2 + 1
        found = _free(dot, half, scale, inside, np.array(taken), lines)
        if found is None:
            text.remove()
            left.append(name)
            continue
        centre, radius = found
        taken.append((*(centre - half), *(centre + half)))
        text.set_position((centre - dot) / scale)
        if radius > _NEAR:
            line = {"color": "#999999", "linewidth": 0.4, "clip_on": False, "zorder": 1.2}
            end = np.clip(dot, centre - half, centre + half)
            taken += [(x - 1, y - 1, x + 1, y + 1) for x, y in _way(dot, end, scale)]
            ends = axes.transData.inverted().transform([dot, end])
            axes.plot(*ends.T, scalex=False, scaley=False, gid="leader", **line)
    return left


def _free(
    point: np.ndarray, half: np.ndarray, scale: float, inside: "Bbox", boxes: np.ndarray, lines: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """Centre of the nearest free place for a box of `half` its size, and its distance in points of type."""
    both = np.concatenate([boxes, lines])
    for radius in _RADII:
        for angle in _ANGLES:
            direction = np.array((np.cos(angle), np.sin(angle)))
            centre = point + direction * (radius * scale + half * np.abs(direction))
            (x0, y0), (x1, y1) = centre - half, centre + half
            if x0 < inside.x0 or x1 > inside.x1 or y0 < inside.y0 or y1 > inside.y1:
                continue
            if np.any((both[:, 0] < x1) & (both[:, 2] > x0) & (both[:, 1] < y1) & (both[:, 3] > y0)):
                continue
            if radius <= _NEAR or not _crosses(point, np.clip(point, centre - half, centre + half), scale, boxes):
                return centre, radius
    return None


def _crosses(point: np.ndarray, end: np.ndarray, scale: float, boxes: np.ndarray) -> bool:
    """Whether a line from a point leads over boxes."""
    x, y = _way(point, end, scale).T[:, :, None]
    return bool(np.any((boxes[:, 0] < x) & (boxes[:, 2] > x) & (boxes[:, 1] < y) & (boxes[:, 3] > y)))


def _way(point: np.ndarray, end: np.ndarray, scale: float) -> np.ndarray:
    """Places on the line from a point, but for those on the point itself."""
    way = point + _STEPS * (end - point)
    return way[np.hypot(*(way - point).T) > _POINT * scale]
