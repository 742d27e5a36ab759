"""What tables of measures have in common: mean ± spread of columns, and the labels that name a row."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from espalier.results.compare.comparison import label_columns, row_names
from espalier.results.format import numbers
from espalier.results.format.marks import starred
from espalier.results.format.table import Table, table_of
from espalier.results.read.planned_study import Study

if TYPE_CHECKING:
    import pandas as pd
    from pandas.api.typing import DataFrameGroupBy

DIGITS = 2
"""Decimal places of percentages."""


def spreads(
    groups: "DataFrameGroupBy", heads: Mapping[str, str], study: Study, digits: Mapping[str, int] | None = None
) -> "tuple[dict[str, pd.Series], dict[str, list[str]]]":
    """Mean and sample standard deviation of columns by group, as `NAME_mean` and `NAME_sd`, and how they are printed
    under their headings.

    Args:
        heads: column → heading
        digits: column → decimal places; those not named have `DIGITS`
    """
    data, cells = {}, {}
    for name, head in heads.items():
        mean, sd = groups[name].mean(), groups[name].std(ddof=1)
        data |= {f"{name}_mean": mean, f"{name}_sd": sd}
        places = (digits or {}).get(name, DIGITS)
        cells[starred(head, study)] = [numbers.spread(*pair, places) for pair in zip(mean, sd, strict=True)]
    return data, cells


def labelled(data: "pd.DataFrame", cells: Mapping[str, list[str]], frame: "pd.DataFrame", study: Study) -> Table:
    """A table with a row a configuration, which its labels name.

    Args:
        data: the numbers, by configuration
        cells: heading → what is printed, in the order of the rows
        frame: the runs of the study
    """
    labels = label_columns(frame, data.index, study)
    words = row_names(labels, data.index, study)
    for place, (axis, column) in enumerate(labels.items()):
        data.insert(place, axis, column)
    return table_of(data, words | dict(cells), len(words))
