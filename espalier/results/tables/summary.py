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
from espalier.results.compare.verdicts import BOLD, SHORT_BOLD
from espalier.results.format.captions import Caption
from espalier.results.format.table import Table, table_of
from espalier.settings.registry import register


@register("table")
def summary(frame, study: dict) -> Table:
    """Every configuration with its size, accuracy, spread and cost, in the order of the plan."""
    data = grouped(frame, "configuration", study)
    bold = first_places(frame, data.index, study)
    labels = label_columns(frame, data.index, study)
    words = row_names(labels, data.index, study)
    for place, (axis, column) in enumerate(labels.items()):
        data.insert(place, axis, column)
    cells = printed(data, study)
    (data["first_place"],) = bold.values()
    return table_of(data, words | cells, len(words), bold, asked_for=ASKED_FOR)


def caption(study: dict) -> Caption:
    """What the table shows and how its numbers came about."""
    return Caption(
        "All configurations, means over their repeats",
        f"{spread_words(study)} {SHORT_BOLD}",
        f"{protocol(study)} {BOLD}",
    )
