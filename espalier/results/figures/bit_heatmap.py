from textwrap import fill
from typing import TYPE_CHECKING

from espalier.results.format import numbers, style
from espalier.results.format.captions import Caption
from espalier.results.format.error_scale import ErrorScale
from espalier.results.format.marks import names
from espalier.results.format.protocols import choosing
from espalier.results.read import bit_cells
from espalier.results.read.planned_study import unit
from espalier.settings.registry import register
from espalier.settings.types import Literal

if TYPE_CHECKING:
    import pandas as pd

_MOST = 6
"""Maps that one page can show legibly."""
_CELL, _LEAST = (0.42, 0.27), 3
"""Width and height, in inches, of a cell whose number can be read; a map has room for so many each way;"""
_BESIDE, _BELOW, _SCALE = 0.55, 0.5, 0.6
"""inches for words beside and below the cells of a map, and for the scale of colours."""
_TYPE, _LETTERS = 7.5, 15
"""Size of type of a name, and its letters that an inch holds."""


@register("figure", stage="quantize")
def bit_grid(frame, history, study: dict, *, split: Literal["test", "validation"] = "test"):
    """Accuracy at every width of weights (rows) and activations (columns): a map for each quantized configuration.

    Args:
        split: images that accuracy is measured on. test: the test split, or validation where nothing is evaluated;
            validation: always validation
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
    head = f"{'Test' if measure == 'test_top1' else 'Validation'} top-1"
    maps = {number: shown[shown["configuration"] == number] for number in chosen[:_MOST]}
    called = names(study) if data["configuration"].nunique() > 1 else dict.fromkeys(chosen, "")
    figure, panels, above = _panels(shown, f"{head} by bits of weights and activations", [called[n] for n in maps])
    for panel, own, name in zip(panels, maps.values(), above, strict=True):
        _map(panel, own, shown, scale)
        before = f"in floats: {numbers.plain(own['before'].mean(), 1)} %"
        panel.set_title("\n".join(filter(None, [name, before])), loc="left", fontsize=_TYPE)
    if scale.spans:
        _colours(figure, panels, scale, f"{head} (%)")
    notes = [_spread(shown, study), "Dashed frame: the setting that the chain goes on with."]
    notes.append(style.missing(int(cells[measure].notna().sum()), len(cells)).replace("runs have", "settings have"))
    if len(chosen) > _MOST:
        notes.append(f"The first {_MOST} of {len(chosen)} configurations.")
    style.note(figure, " ".join(filter(None, notes)))
    return figure


def _panels(shown: "pd.DataFrame", title: str, names: list[str]):
    """A figure with a panel for each name, its panels, and the names broken into lines.

    Panels lie side by side as far as the width of a page allows.
    """
    rows, columns = shown["weight_bits"].nunique(), shown["activation_bits"].nunique()
    wide = _BESIDE + _CELL[0] * max(_LEAST, columns)
    beside = min(len(names), max(1, int((style.PAGE - _SCALE) / wide)))
    below = -(-len(names) // beside)
    width = min(style.PAGE, _SCALE + wide) if len(names) == 1 else style.PAGE
    above = [fill(name, int(_LETTERS * (width - _SCALE - 0.3) / beside)) for name in names]
    lines = 1 + max(name.count("\n") + bool(name) for name in above)
    height = below * (_BELOW + _CELL[1] * max(_LEAST, rows) + 1.3 * _TYPE / 72 * lines)
    figure, (whole,) = style.canvas(width, 0.2 + height, title=title)
    whole.remove()
    panels = figure.subplots(below, beside, squeeze=False).ravel()
    for panel in panels[len(names) :]:
        panel.remove()
    return figure, panels[: len(names)].tolist(), above


def _map(panel, data: "pd.DataFrame", shown: "pd.DataFrame", scale: ErrorScale) -> None:
    """Cells at the widths of all that is `shown`, so that maps can be compared."""
    heights, widths = (sorted(shown[name].unique(), reverse=True) for name in ("weight_bits", "activation_bits"))
    grid = data.pivot(index="weight_bits", columns="activation_bits", values="mean").reindex(heights, columns=widths)
    kept = {(row["weight_bits"], row["activation_bits"]) for row in data[data["kept"]].to_dict("records")}
    for y, bits in enumerate(grid.index):
        for x, width in enumerate(grid.columns):
            value = grid.loc[bits, width]
            is_kept = (bits, width) in kept
            if value == value:
                panel.fill_between([x - 0.5, x + 0.5], y - 0.5, y + 0.5, color=scale.colour(value), linewidth=0)
                look = {"ha": "center", "va": "center", "fontsize": 6.5, "color": scale.ink(value), "gid": "value"}
                panel.annotate(numbers.plain(value, 1), (x, y), **look)
            if is_kept:
                corners = (
                    [x - 0.46, x + 0.46, x + 0.46, x - 0.46, x - 0.46],
                    [y - 0.46] * 2 + [y + 0.46] * 2 + [y - 0.46],
                )
                panel.plot(*corners, color="white", linewidth=2.6)
                panel.plot(*corners, color="black", linewidth=1.3, linestyle="--", gid="kept")
    panel.set_xticks(range(grid.shape[1]), [_tick(width) for width in grid.columns])
    panel.set_yticks(range(grid.shape[0]), [_tick(width) for width in grid.index])
    panel.set_xlim(-0.5, grid.shape[1] - 0.5)
    panel.set_ylim(grid.shape[0] - 0.5, -0.5)
    panel.grid(visible=False)
    panel.tick_params(length=0)
    panel.set_xlabel("Activations (bits)")
    panel.set_ylabel("Weights (bits)")


def _tick(bits: float) -> str:
    return "float" if bits == bit_cells.FULL else f"{bits:.0f}"


def _colours(figure, panels: list, scale: ErrorScale, head: str) -> None:
    """The scale of the colours, dark at its upper end."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    steps = [scale.shade(place / 255) for place in range(256)]
    colours = ScalarMappable(Normalize(0, 1), ListedColormap(steps))
    bar = figure.colorbar(colours, ax=panels, fraction=0.03, aspect=30, pad=0.02)
    bar.set_ticks([scale(value) for value in scale.ticks], labels=[f"{value:g}" for value in scale.ticks])
    bar.ax.grid(visible=False)
    bar.outline.set_visible(False)
    bar.set_label(head)


def _spread(shown: "pd.DataFrame", study: dict) -> str:
    """A sentence: of how many repeats the cells are means, and how far these spread."""
    found = shown["sd"].dropna()
    if found.empty:
        return ""
    most = int(shown["n"].max())
    return (
        f"Means of n = {most} {unit(study).partition(',')[0]}; their sample standard deviation is "
        f"{found.median():.1f} points in the median cell and {found.max():.1f} at most."
    )


def caption(study: dict, *, split: str) -> Caption:
    """What the figure shows."""
    which = "Test" if bit_cells.measure(study, split) == "test_top1" else "Validation"
    return Caption(
        f"{which} top-1 by bits of weights and activations",
        "Cells are means over repeats. The dashed frame is the setting that the chain goes on "
        "with; above each map stands the network before it was quantized.",
        "Colours go by accuracy; by the logarithm of its error, where errors span more than a factor of five. The "
        f"study names the setting that is kept. {choosing(study)}",
        alt="A heat map for each quantized network: bits of weights downwards, of activations to the right, top-1 in "
        "the cells",
    )
