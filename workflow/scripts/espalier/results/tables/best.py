from espalier.plan.types import Count
from espalier.registry import register
from espalier.results.comparison import grouped, headed, label_columns, printed, protocol
from espalier.results.table import Table, of


@register("table")
def best(frame, study: dict, *, count: Count = 10) -> Table:
    """The configurations with the highest mean validation top-1; the test split has no say in the order.

    Args:
        count: configurations to list
    """
    data = grouped(frame, "configuration", study)
    data = data[data["validation_top1_n"] > 0].nlargest(count, "validation_top1_mean", keep="first")
    labels = label_columns(frame, data.index, study)
    words = headed(labels, study)
    cells = printed(data, study)
    for place, (axis, column) in enumerate(labels.items()):
        data.insert(place, axis, column)
    return of(data, words | cells, caption(study, count=count), len(words))


def caption(study: dict, *, count: int) -> str:
    """What the table shows and how its numbers came about."""
    return f"The {count} best configurations by mean validation top-1. {protocol(study)}"
