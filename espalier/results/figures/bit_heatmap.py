from collections.abc import Iterable
from math import log, nan
from typing import TYPE_CHECKING

from espalier.results.format import numbers, style
from espalier.results.format.captions import Caption
from espalier.results.format.error_scale import ErrorScale
from espalier.results.format.marks import names
from espalier.results.format.protocols import choosing
from espalier.results.read import bit_cells
from espalier.settings.registry import register
from espalier.settings.types import Literal

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = {
    "weight_bits": "Weights\n(bits)",
    "theoretical_mib": "Theoretical\nsize (MiB)",
    "activation_bits": "Activations\n(bits)",
    "activation_mib": "Activations\n(MiB)",
    "mean": "top-1\n(%)",
}
_MOST = 6
_PANEL = 2.35
"""Height of a configuration's panels, in inches."""
_CLOSEST = 0.075
"""Ticks nearer than this part of an axis are left out."""


@register("figure", stage="quantize")
def bit_grid(frame, history, study: dict, *, split: Literal["test", "validation"] = "test"):
    """Accuracy and sizes of every setting of widths: parallel coordinates, and beside them a map of the accuracy.

    Args:
        split: images that the accuracy is of: test, or validation where nothing is evaluated; or always validation
    """
    cells = bit_cells.cells(frame, study)
    measure = bit_cells.measure(study, split)
    data = bit_cells.over_repeats(cells, measure)
    found = data[data["mean"].notna()]
    if found.empty:
        return style.nothing(f"No setting of widths has a result yet ({len(cells)} planned).", style.PAGE)
    chosen = [*dict.fromkeys(found["configuration"])]
    shown = found[found["configuration"].isin(chosen[:_MOST])]
    scale = ErrorScale([*shown["mean"], *shown["before"].dropna()])
    figure, (whole,) = style.canvas(style.PAGE, 0.35 + _PANEL * len(chosen[:_MOST]))
    whole.remove()
    rows = figure.subplots(len(chosen[:_MOST]), 2, squeeze=False, width_ratios=(1.75, 1))
    places = {name: _Axis(shown[name], name.endswith("bits")) for name in _COLUMNS if name != "mean"}
    named = names(study)
    for (lines, tiles), configuration in zip(rows, chosen, strict=False):
        own = shown[shown["configuration"] == configuration]
        _parallel(lines, own, places, scale, "Test " if measure == "test_top1" else "Validation ")
        _map(tiles, own, shown, scale)
        if data["configuration"].nunique() > 1:
            lines.set_title(named[configuration], loc="left", fontweight="bold", pad=21)
    notes = [style.missing(int(cells[measure].notna().sum()), len(cells)).replace("runs have", "settings have")]
    if len(chosen) > _MOST:
        notes.append(f"The first {_MOST} of {len(chosen)} configurations.")
    style.note(figure, " ".join(filter(None, notes)))
    return figure


class _Axis:
    """Positions from 0 to 1 of positive values, evenly spaced or by their logarithms, and the ticks that find room."""

    def __init__(self, values: Iterable[float], even: bool) -> None:
        found = sorted({value for value in values if value > 0})
        ends = found or [1.0]
        self._even = even
        self._places = {value: place / max(1, len(found) - 1) for place, value in enumerate(found)}
        self._low, self._range = log(ends[0]), log(ends[-1] / ends[0])
        self.ticks: list[float] = []
        for value in found:
            if not self.ticks or self(value) - self(self.ticks[-1]) >= _CLOSEST:
                self.ticks.append(value)

    def __call__(self, value: float) -> float:
        if not value > 0:
            return nan
        if not self._range:
            return 0.5
        return self._places[value] if self._even else (log(value) - self._low) / self._range


def _parallel(panel, data: "pd.DataFrame", places: dict[str, _Axis], scale: ErrorScale, split: str) -> None:
    panel.set_axis_off()
    panel.set_xlim(-0.28, len(_COLUMNS) - 0.62)
    panel.set_ylim(-0.06, 1.06)
    text = {"fontsize": 6, "va": "center", "color": "black"}
    for x, (name, words) in enumerate(_COLUMNS.items()):
        panel.plot([x, x], [-0.03, 1.03], color="black", linewidth=0.7, zorder=3)
        head = f"{split}{words}" if name == "mean" else words
        panel.annotate(head, (x, 1.07), ha="center", va="bottom", fontsize=6.5, annotation_clip=False)
        if name == "mean":
            ticks = [(scale(value), f"{value:g}") for value in scale.ticks]
        else:
            ticks = [(places[name](value), _tick(name, value)) for value in places[name].ticks]
        last = name == "mean"
        for y, label in ticks:
            panel.plot([x - 0.03, x + 0.03], [y, y], color="black", linewidth=0.5, zorder=3)
            box = {"boxstyle": "square,pad=0.08", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
            spot = {"ha": "left", "xytext": (4, 0)} if last else {"ha": "right", "xytext": (-4, 0)}
            panel.annotate(label, (x, y), textcoords="offset points", bbox=box, zorder=4, **spot, **text)
    for row in data.sort_values("mean").to_dict("records"):
        ys = [*(places[name](row[name]) for name in places), scale(row["mean"])]
        look = {"color": scale.colour(row["mean"]), "linewidth": 1.0, "alpha": 0.9, "gid": "setting"}
        if row["kept"]:
            panel.plot(range(len(ys)), ys, color="white", linewidth=3.4, zorder=2.4)
            look |= {"linewidth": 2.0, "alpha": 1.0, "zorder": 2.5, "gid": "kept", "color": "black", "linestyle": "--"}
        panel.plot(range(len(ys)), ys, **look)
    before = data["before"].mean()
    if before == before:
        x, y = len(_COLUMNS) - 1, scale(before)
        panel.plot([x], [y], marker="<", color=style.COLOURS[1], markersize=5, zorder=5, gid="float")


def _tick(name: str, value: float) -> str:
    if not name.endswith("bits"):
        return f"{value:.3g}"
    return "float" if value == bit_cells.FULL else f"{value:.0f}"


def _map(panel, data: "pd.DataFrame", shown: "pd.DataFrame", scale: ErrorScale) -> None:
    """Tiles at the widths of all that is `shown`, so that maps can be compared."""
    heights, widths = (sorted(shown[name].unique(), reverse=True) for name in ("weight_bits", "activation_bits"))
    grid = data.pivot(index="weight_bits", columns="activation_bits", values="mean").reindex(heights, columns=widths)
    kept = {(row["weight_bits"], row["activation_bits"]) for row in data[data["kept"]].to_dict("records")}
    size = 6.5 if grid.shape[1] <= 6 else 5
    for y, bits in enumerate(grid.index):
        for x, width in enumerate(grid.columns):
            value = grid.loc[bits, width]
            is_kept = (bits, width) in kept
            if value == value:
                panel.fill_between([x - 0.5, x + 0.5], y - 0.5, y + 0.5, color=scale.colour(value), linewidth=0)
                look = {"ha": "center", "va": "center", "fontsize": size, "color": scale.ink(value), "gid": "value"}
                panel.annotate(numbers.plain(value, 1), (x, y), **look)
            if is_kept:
                corners = (
                    [x - 0.46, x + 0.46, x + 0.46, x - 0.46, x - 0.46],
                    [y - 0.46] * 2 + [y + 0.46] * 2 + [y - 0.46],
                )
                panel.plot(*corners, color="white", linewidth=2.6)
                panel.plot(*corners, color="black", linewidth=1.3, linestyle="--", gid="kept")
    panel.set_xticks(range(grid.shape[1]), [_tick("bits", width) for width in grid.columns])
    panel.set_yticks(range(grid.shape[0]), [_tick("bits", width) for width in grid.index])
    panel.set_xlim(-0.5, grid.shape[1] - 0.5)
    panel.set_ylim(grid.shape[0] - 0.5, -0.5)
    panel.grid(visible=False)
    panel.tick_params(length=0)
    panel.set_xlabel("Activations (bits)")
    panel.set_ylabel("Weights (bits)")


def caption(study: dict, *, split: str) -> Caption:
    """What the figure shows."""
    which = "Test" if bit_cells.measure(study, split) == "test_top1" else "Validation"
    return Caption(
        f"{which} top-1 and sizes by widths of weights and activations",
        "Each line is a setting of widths; at the right the same accuracies as a map. The frame and the dashed line "
        "are the setting that the chain goes on with.",
        "Settings are means over repeats. The theoretical size is that of non-zero weights with 16-bit indices and all "
        "else in fp32, activations are the inputs of all convolutions and linear layers of one image "
        "(1 MiB = 2^20 bytes). Widths are evenly spaced, sizes on logarithmic scales; so is accuracy, by its error, "
        "where errors span more than a factor of five. The study names the setting that is kept; the triangle is the "
        f"network before it was quantized. {choosing(study)}",
        alt="Parallel coordinates of widths, sizes and top-1, and a heat map of top-1 by the two widths",
    )
