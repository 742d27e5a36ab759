from espalier.registry import register
from espalier.results.comparison import grouped, headed, label_columns, printed, protocol
from espalier.results.table import Table, of


@register("table")
def summary(frame, study: dict) -> Table:
    """Every configuration with its size, accuracy, spread and cost, in the order of the plan."""
    data = grouped(frame, "configuration", study)
    labels = label_columns(frame, data.index, study)
    words = headed(labels, study)
    for place, (axis, column) in enumerate(labels.items()):
        data.insert(place, axis, column)
    return of(data, words | printed(data, study), caption(study), len(words))


def caption(study: dict) -> str:
    """What the table shows and how its numbers came about."""
    return f"All configurations, means over their repeats. {protocol(study)}"
