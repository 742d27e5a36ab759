"""Parallel coordinates as numbers: each axis gives every line a place from 0 to 1, and has ticks."""

from collections.abc import Callable, Sequence
from math import isnan, log
from typing import TYPE_CHECKING, NamedTuple

from espalier.results.compare.comparison import HEADINGS, label_columns
from espalier.results.format import numbers
from espalier.results.format.error_scale import ErrorScale
from espalier.results.format.marks import marked, names
from espalier.results.page.leaderboard import measured, printed
from espalier.results.read import bit_cells
from espalier.results.read.planned_study import Study, axis_names, baseline_number, headline
from espalier.results.read.stage_networks import until

if TYPE_CHECKING:
    import pandas as pd

MISSING_PLACE = -0.1
"""Where a line crosses an axis of which it has no value."""
_SIZES = ("params", "nonzeros", "macs", "file_bytes")
_LOG_RANGE = 20
_CLOSEST = 0.055


class Axis(NamedTuple):
    """One upright line: where every line crosses it, what the value is in words, and its ticks."""

    head: str
    places: list[float]
    texts: list[str]
    ticks: list[tuple[float, str]]


class Lines(NamedTuple):
    """A plot: lines by name with their colours on light and on dark paper (#rrggbb), the worst first, so that the best
    are drawn over them."""

    title: str
    names: list[str]
    light: list[str]
    dark: list[str]
    top1: list[float]
    marked: list[bool]
    """the lines that stand out: the baseline, or the setting that a chain goes on with"""
    axes: list[Axis]


def of_grid(frame: "pd.DataFrame", study: Study) -> Lines | None:
    """All configurations that have a result, over the axes of the grid, their costs and accuracies; None below two."""
    measure = headline(study)
    main = f"{measure}_mean"
    data = measured(frame, study).sort_values(main)
    data = data[data[main].notna()]
    if len(data) < 2:
        return None
    heads = axis_names(study)
    found = [
        _words(heads[axis].capitalize(), labels)
        for axis, labels in label_columns(frame, data.index, study).items()
        if len(set(labels)) > 1
    ]
    for name in _SIZES:
        if data[name].nunique() > 1:
            head, texts = printed(name, data[name].tolist())
            found.append(_scaled(head, data[name].tolist(), texts))
    if main != "validation_top1_mean":
        found.append(_accuracy(marked(HEADINGS["validation_top1"], study), data["validation_top1_mean"].tolist()))
    named, stands_out = names(study), [number == baseline_number(study) for number in data.index]
    called = [named[number] for number in data.index]
    return _lines("Configurations", called, data[main].tolist(), stands_out, found, marked(HEADINGS[measure], study))


def of_widths(frame: "pd.DataFrame", study: Study) -> list[Lines]:
    """Every setting of widths that has a result, a plot a configuration that quantizes."""
    if "run.quantize" not in frame:
        return []
    frame, study = until(frame, study, "quantize")
    cells = bit_cells.cells(frame, study)
    measure, head = headline(study), marked(HEADINGS[headline(study)], study)
    data = bit_cells.over_repeats(cells, measure)
    data = data[data["mean"].notna()].sort_values("mean")
    named, plots = names(study), []
    for number, own in data.groupby("configuration"):
        widths = {name: [_width(value) for value in own[name]] for name in ("weight_bits", "activation_bits")}
        sizes = {name: own[name].tolist() for name in ("theoretical_mib", "activation_mib")}
        found = [
            _words("Weights (bits)", widths["weight_bits"]),
            _scaled("Theoretical size (MiB)", sizes["theoretical_mib"], [f"{v:.3g}" for v in sizes["theoretical_mib"]]),
            _words("Activations (bits)", widths["activation_bits"]),
            _scaled("Activations (MiB)", sizes["activation_mib"], [f"{v:.3g}" for v in sizes["activation_mib"]]),
        ]
        lines = [f"{w} × {a} bits" for w, a in zip(*widths.values(), strict=True)]
        title = f"Settings of widths: {named[number]}"
        plots.append(_lines(title, lines, own["mean"].tolist(), own["kept"].tolist(), found, head))
    return plots


def _lines(
    title: str, names: Sequence[str], top1: Sequence[float], marked: Sequence[bool], axes: list[Axis], head: str
) -> Lines:
    from matplotlib.colors import to_hex

    scale = ErrorScale(top1)
    axes = [*axes, _accuracy(head, top1)]
    light, dark = ([to_hex(colour(value)) for value in top1] for colour in (scale.colour, scale.on_dark))
    return Lines(title, list(names), light, dark, list(top1), list(marked), axes)


def _accuracy(head: str, values: Sequence[float]) -> Axis:
    scale = ErrorScale([value for value in values if not isnan(value)])
    ticks = [(tick, f"{tick:g}") for tick in scale.ticks]
    return _axis(head, values, scale, [numbers.plain(value) for value in values], ticks)


def _scaled(head: str, values: Sequence[float], texts: Sequence[str]) -> Axis:
    """Linear, or by the logarithm where values span more than a factor of twenty; ticks at values that occur."""
    found = sorted({value for value in values if not isnan(value)}) or [1.0]
    low, high = found[0], found[-1]
    bent: Callable[[float], float] = log if low > 0 and high / low >= _LOG_RANGE else float
    reach = bent(high) - bent(low)
    ticks = sorted({value: text for value, text in zip(values, texts, strict=True) if not isnan(value)}.items())
    return _axis(head, values, lambda value: (bent(value) - bent(low)) / reach if reach else 0.5, texts, ticks)


def _words(head: str, labels: Sequence[str]) -> Axis:
    """Evenly spaced: numbers rising, other words in their own order from the top."""
    order = list(dict.fromkeys(labels))
    valued = [label for label in order if _number(label) is not None]
    others = [label for label in order if _number(label) is None]
    # The plan's first value stands at the top, a number's place is told by its size.
    order = [*reversed(others), *sorted(valued, key=_number)]
    places = {label: place / max(1, len(order) - 1) for place, label in enumerate(order)}
    return Axis(head, [places[label] for label in labels], list(labels), [(places[label], label) for label in order])


def _axis(
    head: str,
    values: Sequence[float],
    place: Callable[[float], float],
    texts: Sequence[str],
    ticks: Sequence[tuple[float, str]],
) -> Axis:
    kept: list[tuple[float, str]] = []
    for value, word in ticks:
        if not kept or place(value) - kept[-1][0] >= _CLOSEST:
            kept.append((place(value), word))
    if any(isnan(value) for value in values):
        kept.insert(0, (MISSING_PLACE, numbers.MISSING))
    return Axis(head, [MISSING_PLACE if isnan(v) else place(v) for v in values], list(texts), kept)


def _number(label: str) -> float | None:
    if label == "float":
        return float("inf")
    try:
        return float(label)
    except ValueError:
        return None


def _width(bits: float) -> str:
    return "float" if bits == bit_cells.FULL else f"{bits:.0f}"
