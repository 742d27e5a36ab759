"""The one style of all figures: for print at column or page width, readable in grey and by the colour-blind."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from espalier.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

COLUMN, PAGE = 3.4, 7.0
"""Widths, in inches, of one column and of a page of two."""
DPI = 200
FORMATS = ("png", "pdf")

# Okabe & Ito 2008, without black, the darker first; yellow last, as it is pale on paper.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A800")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
GREY = "#555555"

_RC = {
    "backend": "agg",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.4,
    "grid.color": "#DDDDDD",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    # Labels come from users: a dollar sign is a dollar sign.
    "text.parse_math": False,
    # TrueType, so that text in a PDF can be searched and edited.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "espalier",
}


@contextmanager
def applied() -> Iterator[None]:
    """Draw and save inside this block; nothing of the style leaks out of it."""
    from matplotlib import rc_context

    with rc_context(_RC):
        yield


def canvas(width: float = COLUMN, height: float = 2.5, columns: int = 1) -> tuple["Figure", list["Axes"]]:
    """A figure of the given size in inches, with `columns` axes in one row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def look(index: int) -> dict[str, object]:
    """Colour, marker and line of the `index`-th thing in a figure; no two of the first forty look alike in colour,
    and neighbours differ in grey."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[(index + index // len(COLOURS)) % len(LINES)],
    }


def log(axis: "Axis") -> None:
    """A logarithmic scale with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.axes.set_xscale("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def note(figure: "Figure", text: str) -> None:
    """A line below the plot, for what the reader must know of incomplete data."""
    if text:
        figure.supxlabel(text, fontsize=6.5, color=GREY, x=0.01, ha="left")


def nothing(text: str, width: float = COLUMN) -> "Figure":
    """A figure that says what is missing."""
    import textwrap

    figure, (axes,) = canvas(width, 1.2)
    axes.set_axis_off()
    wrapped = textwrap.fill(text, int(width * 15))
    axes.text(0.5, 0.5, wrapped, ha="center", va="center", color=GREY, transform=axes.transAxes)
    return figure


def missing(done: int, planned: int) -> str:
    """What to say of runs that are not there yet; nothing when all are."""
    return "" if done == planned else f"Incomplete: {done} of {planned} runs have a result."


def save(figure: "Figure", folder: Path, key: str, formats: Sequence[str] = FORMATS) -> None:
    """Write <key>.png and <key>.pdf into `folder`: the same figure gives the same bytes, whenever it is made."""
    figure.draw_without_rendering()
    # Laid out once; each format would do it again.
    figure.set_layout_engine("none")
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    for form in formats:
        with replacing(Path(folder) / f"{key}.{form}") as path:
            figure.savefig(path, format=form, dpi=DPI, metadata=dates[form])
