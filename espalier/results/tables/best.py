from espalier.results.compare.comparison import (
    ASKED_FOR,
    first_places,
    grouped,
    label_columns,
    printed,
    protocol,
    row_names,
    spread_words,
)
from espalier.results.compare.verdicts import BOLD
from espalier.results.format.captions import Caption
from espalier.results.format.table import Table, table_of
from espalier.settings.registry import register
from espalier.settings.types import Count


@register("table")
def best(frame, study: dict, *, count: Count = 10) -> Table:
    """The configurations with the highest mean validation top-1; their order does not depend on the test split.

    Args:
        count: configurations to list
    """
    data = grouped(frame, "configuration", study)
    data = data[data["validation_top1_n"] > 0].nlargest(count, "validation_top1_mean", keep="first")
    bold = first_places(frame, data.index, study)
    labels = label_columns(frame, data.index, study)
    words = row_names(labels, data.index, study)
    cells = printed(data, study)
    for place, (axis, column) in enumerate(labels.items()):
        data.insert(place, axis, column)
    (data["first_place"],) = bold.values()
    return table_of(data, words | cells, len(words), bold, asked_for=ASKED_FOR)


def caption(study: dict, *, count: int) -> Caption:
    """What the table shows and how its numbers came about."""
    title = f"The {count} best configurations by mean validation top-1"
    return Caption(title, spread_words(study), f"{protocol(study)} {BOLD}")
