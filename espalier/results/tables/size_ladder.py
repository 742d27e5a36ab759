from typing import TYPE_CHECKING

from espalier.results.compare.comparison import label_columns, row_names
from espalier.results.format import numbers
from espalier.results.format.captions import Caption
from espalier.results.format.table import Table, table_of
from espalier.results.read import coded_files
from espalier.results.read.planned_study import unit
from espalier.settings.registry import register

if TYPE_CHECKING:
    import pandas as pd

_BOUND = "order-0 entropy"


@register("table", stage="encode")
def size_ladder(frame, study: dict) -> Table:
    """Bytes that the levels of every coded network take in the usual ways to keep them, and how these compare with
    their order-0 entropy."""
    data = _with_missing(coded_files.ladders(frame, study), frame)
    bound = data[data["method"] == _BOUND].set_index("configuration")["level_bytes"]
    data["over_bound_percent"] = 100 * (data["level_bytes"] / data["configuration"].map(bound).astype(float) - 1)
    labels = label_columns(frame[frame["run.encode"].notna()], data["configuration"], study)
    words = row_names(labels, data["configuration"], study) | {"Method": data["method"].tolist()}
    cells = {
        "Levels (kB)": [numbers.scaled(value, 1000) for value in data["level_bytes"]],
        "Over order-0 entropy (%)": [numbers.signed(value, 1) for value in data["over_bound_percent"]],
        "All else (kB)": [numbers.scaled(value, 1000) for value in data["other_bytes"]],
        "n": [str(int(n)) for n in data["n"]],
    }
    data = data.drop(columns="configuration")
    for place, (axis, column) in enumerate(labels.items()):
        data.insert(place, axis, column)
    return table_of(data, words | cells, len(words))


def _with_missing(data: "pd.DataFrame", frame: "pd.DataFrame") -> "pd.DataFrame":
    """The ladders in the order of the plan, a row without numbers for a configuration that has none yet."""
    import pandas as pd

    planned = frame[frame["run.encode"].notna()].drop_duplicates("run.encode")["configuration"].drop_duplicates()
    absent = planned[~planned.isin(data["configuration"])]
    empty = pd.DataFrame({"configuration": absent, "method": numbers.MISSING, "n": 0}, columns=data.columns)
    both = pd.concat([part for part in (data, empty) if len(part)] or [data], ignore_index=True)
    both[["level_bytes", "other_bytes"]] = both[["level_bytes", "other_bytes"]].astype(float)
    return both.sort_values("configuration", kind="stable", ignore_index=True)


def caption(study: dict) -> Caption:
    """What the table shows and how its numbers came about."""
    return Caption(
        "The same quantized weights, kept in several ways",
        "Levels are the bytes of all quantized weights together; a way that sees more than single values may take less "
        "than their order-0 entropy.",
        "1 kB = 1,000 bytes. All else are other parameters, where a way says how these are kept. The order-0 entropy "
        "is that of every tensor's own histogram, zeros and values, without the histogram; the entropy given row and "
        "column has a histogram for each pair of a class of rows and one of columns. The COO file holds scales "
        f"too. Means over n repeats ({unit(study)}).",
    )
