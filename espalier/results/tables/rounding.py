from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from espalier.results.compare.comparison import headed, label_columns, spread_words
from espalier.results.format import numbers
from espalier.results.format.captions import Caption
from espalier.results.format.marks import starred
from espalier.results.format.protocols import chosen
from espalier.results.format.table import Table, table_of
from espalier.results.read import bit_cells
from espalier.settings.registry import register
from espalier.settings.types import Literal

if TYPE_CHECKING:
    import pandas as pd

_PLAIN, _COMPENSATED, _PRICED = "plain rounding", "compensated rounding", "rate-distortion rounding"
_AWARE = "quantization-aware fine-tuning"
_WAYS = (_PLAIN, _COMPENSATED, _PRICED, _AWARE)
_LATER = ("quantize", "encode", "export", "evaluate")
"""Axes that leave the network before quantization as it is."""
_WIDTH_AXES = ("quantize.weight_bits", "quantize.activation_bits", "quantize.keep")
_KEY = ["network", "weight_bits", "activation_bits"]


@register("table", stage="quantize")
def rounding(frame, study: dict, *, split: Literal["test", "validation"] = "test") -> Table:
    """Ways to round side by side on the same networks: plain, compensated, rate-distortion, and quantization-aware
    fine-tuning.

    Args:
        split: images that accuracy is measured on. test: the test split, or validation where nothing is evaluated;
            validation: always validation
    """
    import pandas as pd

    found = _compared(frame, study, bit_cells.measure(study, split))
    ways = [*dict.fromkeys(found.sort_values("order", kind="stable")["way"])]
    if len(ways) < 2:
        text = "Nothing to compare: no two ways to quantize meet on the same network at the same widths."
        return table_of(pd.DataFrame(), {"Rounding": [text]}, 1)
    values = found.pivot_table("value", [*_KEY, "repeat"], "way", sort=False, dropna=False)[ways]
    means, deviations = (values.groupby(level=_KEY, sort=False).agg(how) for how in ("mean", "std"))
    changes = values.sub(values[ways[0]], axis=0).groupby(level=_KEY, sort=False).mean()
    asked = set(found[[*_KEY, "way"]].itertuples(index=False, name=None))
    before = found.groupby(_KEY, sort=False)["before"].mean().reindex(means.index)
    counts = values.groupby(level=_KEY, sort=False).count().max(axis=1)
    labels = _labels(frame, study, means.index.get_level_values("network"))
    words = headed(labels, study) | {
        head: [_width(bits) for bits in means.index.get_level_values(column)]
        for head, column in (("Weights (bits)", "weight_bits"), ("Activations (bits)", "activation_bits"))
    }
    cells = {starred("Float (%)", study): [numbers.plain(value) for value in before]}
    for way in ways:
        spreads = zip(means.index, means[way], deviations[way], changes[way], strict=True)
        cells[starred(f"{way[:1].upper()}{way[1:]} (%)", study)] = [
            _cell(mean, sd, None if way == ways[0] else change) if (*key, way) in asked else ""
            for key, mean, sd, change in spreads
        ]
    cells["n"] = [str(int(n)) for n in counts]
    data = means.index.to_frame(index=False).drop(columns="network")
    for place, (axis, column) in enumerate(labels.items()):
        data.insert(place, axis, column)
    data["before"], data["n"] = before.to_numpy(), counts.to_numpy()
    for way in ways:
        data[f"{way}_mean"], data[f"{way}_sd"] = means[way].to_numpy(), deviations[way].to_numpy()
        data[f"{way}_change"] = changes[way].to_numpy()
    return table_of(data, words | cells, len(words))


def way(settings: Mapping) -> str:
    """How a run of quantization rounds, from its settings."""
    if any(key.startswith("quantize.fine_tune.") for key in settings):
        return _AWARE
    if settings.get("quantize.scheme.name") == "rate_distortion":
        return _PRICED
    return _COMPENSATED if settings.get("quantize.scheme.rounding") == "compensated" else _PLAIN


def _compared(frame: "pd.DataFrame", study: dict, measure: str) -> "pd.DataFrame":
    """The cells at which two ways or more meet: `network` (number of its first configuration), `way`, `value`,
    `before`, and the `order` of the ways."""
    axes = [f"label.{axis}" for axis in study["axes"]]
    kept = [axis for axis in axes if axis.removeprefix("label.").partition(".")[0] not in _LATER]
    first = frame.drop_duplicates("configuration").set_index("configuration")
    data = bit_cells.cells(frame, study)
    alike: dict[tuple, int] = {}
    keys = {number: tuple(first.loc[number, kept]) for number in dict.fromkeys(data["configuration"])}
    data["network"] = [alike.setdefault(keys[number], number) for number in data["configuration"]]
    runs = [study["runs"][run]["settings"] for run in data["run"]]
    data["way"] = [way(settings) for settings in runs]
    data["order"] = [_WAYS.index(name) for name in data["way"]]
    details = _details(first, keys)
    data["detail"] = [details[number] for number in data["configuration"]]
    # A column that differs in more than its rounding must not pass for a comparison of rounding alone.
    if len({_rest(settings) for settings in runs}) > 1 or data.groupby("way")["detail"].nunique().gt(1).any():
        data["way"] = [
            name + (f" ({detail})" if detail else "") for name, detail in zip(data["way"], data["detail"], strict=True)
        ]
    data["value"], data["before"] = data[measure], data[f"before_{measure}"]
    data = data[data["weight_bits"] < bit_cells.FULL]
    return data[data.groupby(_KEY)["way"].transform("nunique") > 1]


def _details(first: "pd.DataFrame", numbers: Iterable[int]) -> dict[int, str]:
    """Configuration → its labels on the axes that say how it is quantized, widths apart."""
    axes = [name for name in first.columns if name.startswith("label.quantize")]
    axes = [name for name in axes if not name.removeprefix("label.").startswith(_WIDTH_AXES)]
    axes = [name for name in axes if first[name].nunique() > 1]
    return {n: ", ".join(label for label in first.loc[n, axes] if label not in ("none", "–")) for n in numbers}


def _rest(settings: Mapping) -> tuple:
    """The settings of a scheme but its rounding."""
    keys = (key for key in settings if key.startswith("quantize.scheme.") and not key.endswith(".rounding"))
    return tuple((key, settings[key]) for key in keys)


def _labels(frame: "pd.DataFrame", study: dict, networks) -> dict[str, list[str]]:
    columns = label_columns(frame[frame["run.quantize"].notna()], networks, study)
    return {axis: column for axis, column in columns.items() if axis.partition(".")[0] not in _LATER}


def _width(bits: float) -> str:
    return "float" if bits == bit_cells.FULL else f"{bits:.0f}"


def _cell(mean: float, sd: float, change: float | None) -> str:
    text = numbers.spread(mean, sd)
    return text if change is None or change != change else f"{text} ({numbers.signed(change)})"


def caption(study: dict, *, split: str) -> Caption:
    """What the table shows and how its numbers came about."""
    which = "Test" if bit_cells.measure(study, split) == "test_top1" else "Validation"
    return Caption(
        f"{which} top-1 by the way to round, on the same networks",
        f"In brackets: the difference in points from the first way, repeat by repeat. {spread_words(study)}",
        "Each row is a network at one setting of widths, which several configurations quantize. Float is the network "
        "before. Plain rounding takes the nearest level; compensated rounding lets the rest of a filter make up for "
        "errors already made; rate-distortion rounding weighs errors against bits; quantization-aware fine-tuning "
        "trains on with the levels in sight. Ways that differ in more than that bear their labels. "
        f"{chosen(study, 'Epochs are')}",
    )
