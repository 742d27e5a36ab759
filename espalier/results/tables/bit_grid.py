from typing import TYPE_CHECKING

from espalier.results.compare.comparison import label_columns, row_names, spread_words
from espalier.results.format import numbers
from espalier.results.format.captions import Caption
from espalier.results.format.marks import starred
from espalier.results.format.protocols import choosing, chosen
from espalier.results.format.table import Table, table_of
from espalier.results.read import bit_cells
from espalier.settings.registry import register
from espalier.settings.types import Literal

if TYPE_CHECKING:
    import pandas as pd


@register("table", stage="quantize")
def bit_grid(frame, study: dict, *, split: Literal["test", "validation"] = "test") -> Table:
    """Accuracy at every width of weights (rows) and activations (columns), a block for each quantized configuration.

    Args:
        split: images that accuracy is measured on. test: the test split, or validation where nothing is evaluated;
            validation: always validation, on which a setting is to be chosen
    """
    data = bit_cells.over_repeats(bit_cells.cells(frame, study), bit_cells.measure(study, split))
    rows = data.drop_duplicates(["configuration", "weight_bits"])
    labels = label_columns(frame[frame["run.quantize"].notna()], rows["configuration"], study)
    words = row_names(labels, rows["configuration"], study)
    words |= {"Weights (bits)": [_width(bits) for bits in rows["weight_bits"]]}
    cells = {starred("Float (%)", study): [numbers.plain(value) for value in rows["before"]]}
    for bits in sorted(set(data["activation_bits"]), reverse=True):
        here = data[data["activation_bits"] == bits].set_index(["configuration", "weight_bits"])
        places = zip(rows["configuration"], rows["weight_bits"], strict=True)
        cells[starred(f"Activations {_width(bits)} (%)", study)] = [
            _cell(here.loc[place]) if place in here.index else "" for place in places
        ]
    own = data.groupby(["configuration", "weight_bits"])["n"].agg(["min", "max"])
    counts = [own.loc[place] for place in zip(rows["configuration"], rows["weight_bits"], strict=True)]
    cells["n"] = [f"{n['min']} to {n['max']}" if n["min"] < n["max"] else str(n["min"]) for n in counts]
    for place, (axis, column) in enumerate(label_columns(frame, data["configuration"], study).items()):
        data.insert(place, axis, column)
    return table_of(data.drop(columns="configuration"), words | cells, len(words))


def _width(bits: float) -> str:
    return "float" if bits == bit_cells.FULL else f"{bits:.0f}"


def _cell(row: "pd.Series") -> str:
    return numbers.spread(row["mean"], row["sd"]) + (" †" if row["kept"] else "")


def caption(study: dict, *, split: str) -> Caption:
    """What the table shows and how its numbers came about."""
    which = "Test" if bit_cells.measure(study, split) == "test_top1" else "Validation"
    named = bit_cells.schemes(study)
    scheme = f" by the scheme {named[0]}" if len(named) == 1 else ""
    scored = ", scored once for each setting" if which == "Test" else ""
    return Caption(
        f"{which} top-1 by widths of weights and activations{scheme}",
        f"Float: the network before. † marks the setting that the chain goes on with. {spread_words(study)}",
        "Each row is a width of the weights of convolutions and linear layers, each column one of their inputs. The "
        f"study names the setting that is kept. {chosen(study)} {choosing(study)} These are {which.lower()} "
        f"images{scored}.",
    )
