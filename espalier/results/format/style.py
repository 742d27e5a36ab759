"""The one style of all figures: for print at column or page width, readable in grey and by the colour-blind."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill, wrap
from typing import TYPE_CHECKING

from espalier.counted import counted
from espalier.files import replacing
from espalier.results.read.run_state import STOPPED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
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

_TITLE, _NOTE = 8.5, 6.5
"""Sizes of type of the title and of the note at the foot;"""
_TITLE_LETTERS, _NOTE_LETTERS = 11.5, 20
"""letters of them that an inch holds."""
_DECADES = {True: 4.0, False: 3.2}
"""Powers of ten beyond which a horizontal or an upright axis is too short for numbers at 2 and 5;"""
_SMALL = 1.6
"""those beyond which it is in a panel of four in a row;"""
_NARROW = 4
"""a factor within which there are too few of them."""

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


def canvas(
    width: float = COLUMN, height: float = 2.5, columns: int = 1, title: str = "", rows: int = 1
) -> tuple["Figure", list["Axes"]]:
    """A figure of the given size in inches, with `columns` axes in each of its rows, and above them its title.

    Args:
        title: the variables that are shown; its lines come to the height
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = wrap(title, int(width * _TITLE_LETTERS))
    strip = (1.25 * _TITLE * len(lines) + 5) / 72 if lines else 0.0
    figure = Figure((width, height + strip), layout="constrained")
    FigureCanvasAgg(figure)
    if lines:
        look = {"fontsize": _TITLE, "fontweight": "bold", "ha": "left", "va": "top"}
        # The layout would put a legend into the same place.
        figure.suptitle("\n".join(lines), x=0.01, y=1 - 2.5 / 72 / (height + strip), **look).set_in_layout(False)
        figure.get_layout_engine().set(rect=(0, 0, 1, height / (height + strip)))
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def legend(figure: "Figure", handles: Sequence["Artist"], words: Sequence[str]) -> None:
    """A legend between the title and the axes, in as many columns as its words leave room for."""
    # A character of the legend is about 0.06 inches wide, its handle and gap half an inch.
    columns = max(1, min(len(words), int(figure.get_figwidth() / (0.5 + 0.06 * max(map(len, words))))))
    left, bottom, width, height = figure.get_layout_engine().get()["rect"]
    # The layout engine's own legends cannot be placed below a title.
    where = {"loc": "upper left", "bbox_to_anchor": (0, bottom + height)}
    made = figure.legend(handles, words, ncols=columns, **where)
    own = made.get_window_extent(figure.canvas.get_renderer()).height / figure.bbox.height
    figure.get_layout_engine().set(rect=(left, bottom, width, height - own))


def look(index: int) -> dict[str, object]:
    """Colour, marker and line of the `index`-th thing in a figure; no two of the first forty look alike in colour,
    and neighbours differ in grey."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[(index + index // len(COLOURS)) % len(LINES)],
    }


def log(axis: "Axis", small: bool = False) -> None:
    """A logarithmic scale with plain numbers: at 1, 2 and 5, or at powers of ten where there is no room for more.

    Call it when all is drawn.

    Args:
        small: whether the panel is one of four in a row
    """
    from math import log10

    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    across = axis.axis_name == "x"
    (axis.axes.set_xscale if across else axis.axes.set_yscale)("log")
    low, high = sorted(axis.axes.get_xlim() if across else axis.axes.get_ylim())
    room = _SMALL if small else _DECADES[across]
    few = LogLocator(subs=(1, 2, 5) if log10(high / low) < room else (1,), numticks=4 if small else "auto")
    axis.set_major_locator(few if high / low > _NARROW else MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def epochs(panel: "Axes") -> None:
    """An axis of whole epochs, also where there is one alone."""
    low, high = panel.get_xlim()
    if high - low < 1:
        panel.set_xlim(round(low) - 0.5, round(high) + 0.5)
    panel.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    panel.set_xlabel("Epoch")


def percent(axis: "Axis") -> None:
    """End an axis of percentages at 0 and 100; what is drawn on its ends is seen whole.

    Call it when all is drawn.
    """
    import numpy as np

    panel = axis.axes
    low, high = panel.get_xlim() if axis.axis_name == "x" else panel.get_ylim()
    (panel.set_xlim if axis.axis_name == "x" else panel.set_ylim)(max(0.0, low), min(100.0, high))
    for line in panel.lines:
        # The layout would make room for a line of no points at the corner of the figure.
        line.set_clip_on(not np.isfinite(line.get_xydata()).all(axis=1).any())


def intervals(panel: "Axes", x: Sequence[float], low: Sequence[float], high: Sequence[float], colour: str) -> None:
    """An upright line from `low` to `high` at every `x`; none where these are missing."""
    import numpy as np

    # One line with gaps for all: a thousand lines would take a minute.
    ends = np.column_stack((low, high, np.full(len(x), np.nan)))
    panel.plot(np.repeat(x, 3), ends.ravel(), color=colour, alpha=0.6, linewidth=0.9, gid="interval")


def note(figure: "Figure", text: str) -> None:
    """Lines below the plot, for what the reader must know of incomplete data."""
    if text:
        lines = (fill(line, int(figure.get_figwidth() * _NOTE_LETTERS)) for line in text.splitlines())
        figure.supxlabel("\n".join(lines), fontsize=_NOTE, color=GREY, x=0.01, ha="left")


def nothing(text: str, width: float = COLUMN) -> "Figure":
    """A figure that says what is missing."""
    figure, (axes,) = canvas(width, 1.2)
    axes.set_axis_off()
    wrapped = fill(text, int(width * 15))
    axes.text(0.5, 0.5, wrapped, ha="center", va="center", color=GREY, transform=axes.transAxes)
    return figure


def missing(done: int, planned: int, one: str = "run", what: str = "result") -> str:
    """What to say of things, each a `one`, that have no `what` yet; nothing when all have."""
    have = counted(planned, f"{one} has", f"{one}s have")
    return "" if done == planned else f"Incomplete: {done} of {have} a {what}."


def unfinished(frame: "pd.DataFrame", measure: str) -> str:
    """A sentence that counts the rows without `measure`: runs still to come, and runs stopped early."""
    stopped = int((frame["state"] == STOPPED).sum())
    runs = counted(len(frame), "run was", "runs were")
    said = f"{stopped} of {runs} stopped before the end, and not shown." if stopped else ""
    return " ".join(filter(None, [missing(int(frame[measure].notna().sum()), len(frame) - stopped), said]))


def save(figure: "Figure", folder: Path, key: str, formats: Sequence[str] = FORMATS) -> None:
    """Write <key>.png and <key>.pdf into `folder`: the same figure gives the same bytes, whenever it is made."""
    figure.draw_without_rendering()
    # Laid out once; each format would do it again.
    figure.set_layout_engine("none")
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    for form in formats:
        with replacing(Path(folder) / f"{key}.{form}") as path:
            figure.savefig(path, format=form, dpi=DPI, metadata=dates[form])
