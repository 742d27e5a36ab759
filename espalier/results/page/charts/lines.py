"""Parallel coordinates as numbers: each axis gives every line a place from 0 to 1, and has ticks."""

from collections.abc import Callable, Sequence
from math import isnan, log
from typing import TYPE_CHECKING, NamedTuple

from espalier.results.compare.axis_values import LOG_RANGE, Values, along
from espalier.results.compare.comparison import HEADINGS
from espalier.results.format import numbers
from espalier.results.format.error_scale import ErrorScale
from espalier.results.format.marks import marked, names
from espalier.results.page.leaderboard import configuration_table, printed
from espalier.results.read import bit_cells, rungs
from espalier.results.read.planned_study import Study, baseline_number, headline
from espalier.results.read.stage_networks import until

if TYPE_CHECKING:
    import pandas as pd

MISSING_PLACE = -0.1
"""Where a line crosses an axis of which it has no value."""
_SIZES = ("params", "nonzeros", "macs", "file_bytes")
_CLOSEST = 0.055
_EVEN = 12
"""Numbers of an axis that find room side by side; more stand where their size is."""
_STOPPED = ("#c3c9cf", "#4b545d")
"""The colour of configurations that were stopped, on light and on dark paper."""


class Axis(NamedTuple):
    """One upright line: where every line crosses it, what the value is in words, and its ticks."""

    head: str
    places: list[float]
    texts: list[str]
    ticks: list[tuple[float, str]]


class Lines(NamedTuple):
    """A plot of parallel coordinates: names, colours and accuracies of its lines, and its axes.

    Colours are #rrggbb, for a light and for a dark page. Lines of stopped configurations come first, in grey. The
    others follow, the worst first, so that the best are drawn on top.
    """

    title: str
    names: list[str]
    light: list[str]
    dark: list[str]
    top1: list[float]
    marked: list[bool]
    """the lines that stand out: the baseline, or the setting that a chain goes on with"""
    axes: list[Axis]
    stopped: int = 0
    """how many are grey"""


def of_grid(frame: "pd.DataFrame", study: Study) -> Lines | None:
    """Parallel coordinates of all configurations with a result: axes of the grid, sizes and accuracies.

    Configurations that a rung stopped are drawn grey, at the validation top-1 that they had reached.

    Returns:
        the plot; None where there are fewer than two lines, or no configuration has a result
    """
    measure = headline(study)
    main, validation = f"{measure}_mean", "validation_top1_mean"
    data, stops = _with_stopped(configuration_table(frame, study), frame, study, main)
    if len(data) < 2:
        return None
    found = [_settings(values) for values in along(frame, data.index, study)]
    for name in _SIZES:
        if data[name].nunique() > 1:
            head, texts = printed(name, data[name].tolist())
            found.append(_scaled(head, data[name].tolist(), texts))
    if main != validation:
        head = marked(HEADINGS["validation_top1"], study)
        found.append(_accuracy(head, data[validation].tolist(), stops))
    named, baseline = names(study), baseline_number(study)
    called = [
        f"{named[number]}: {stop.words()}" if stop else named[number]
        for number, stop in zip(data.index, stops, strict=True)
    ]
    stands_out = [number == baseline for number in data.index]
    head = marked(HEADINGS[measure], study)
    return _lines("Configurations", called, data[main].tolist(), stands_out, found, head, stops)


def _with_stopped(
    data: "pd.DataFrame", frame: "pd.DataFrame", study: Study, main: str
) -> tuple["pd.DataFrame", list[rungs.Stop | None]]:
    """The rows with a result, ascending by `main`, and for each row where it was stopped (None if it was not).

    Configurations that a rung stopped come before them, at the validation top-1 that they had reached. There is no row
    at all where no configuration has a result.
    """
    import pandas as pd

    finished, known = data[data[main].notna()].sort_values(main), rungs.of_configurations(study)
    if not known or finished.empty:
        return finished, [None] * len(finished)
    reached = frame.groupby("configuration", sort=False)["stopped_top1"].mean().reindex(known).dropna().sort_values()
    found = pd.concat([data.loc[reached.index].assign(validation_top1_mean=reached), finished])
    return found, [known.get(number) for number in found.index]


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
    title: str,
    names: Sequence[str],
    top1: Sequence[float],
    marked: Sequence[bool],
    axes: list[Axis],
    head: str,
    stops: Sequence[rungs.Stop | None] = (),
) -> Lines:
    from matplotlib.colors import to_hex

    stops = stops or [None] * len(names)
    scale = ErrorScale([value for value, stop in zip(top1, stops, strict=True) if not stop])
    axes = [*axes, _accuracy(head, top1, stops)]
    light, dark = (
        [grey if stop else to_hex(colour(value)) for value, stop in zip(top1, stops, strict=True)]
        for colour, grey in zip((scale.colour, scale.on_dark), _STOPPED, strict=True)
    )
    stopped = sum(stop is not None for stop in stops)
    return Lines(title, list(names), light, dark, list(top1), list(marked), axes, stopped)


def _settings(values: Values) -> Axis:
    """The labels of an axis side by side; many numbers where their size is."""
    head = values.head.capitalize()
    if values.numbers is None or len(set(values.labels)) <= _EVEN:
        return _words(head, values.labels)
    return _scaled(head, values.numbers, values.labels)


def _accuracy(head: str, values: Sequence[float], stops: Sequence[rungs.Stop | None]) -> Axis:
    scale = ErrorScale([value for value in values if not isnan(value)])
    ticks = [(tick, f"{tick:g}") for tick in scale.ticks]
    texts = [
        f"{numbers.plain(value)} at epoch {stop.epochs}" if stop and not isnan(value) else numbers.plain(value)
        for value, stop in zip(values, stops, strict=True)
    ]
    return _axis(head, values, scale, texts, ticks)


def _scaled(head: str, values: Sequence[float], texts: Sequence[str]) -> Axis:
    """Linear, or by the logarithm where values span more than a factor of twenty; ticks at values that occur."""
    found = sorted({value for value in values if not isnan(value)}) or [1.0]
    low, high = found[0], found[-1]
    bent: Callable[[float], float] = log if low > 0 and high / low >= LOG_RANGE else float
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
