from espalier.registry import register
from espalier.results.comparison import grouped, headed, printed, protocol
from espalier.results.study import along, axis_names
from espalier.results.table import Table, of


@register("table")
def by_axis(frame, study: dict, *, axis: str) -> Table:
    """One row a value of one axis: the points that differ from the baseline in this axis alone.

    Args:
        axis: key path of the axis whose values are compared
    """
    chosen, _ = along(study, axis)
    data = grouped(frame[frame["configuration"].isin(chosen)], f"label.{axis}", study)
    words = headed({axis: [str(label) for label in data.index]}, study)
    cells = printed(data, study)
    data.insert(0, axis, data.index)
    return of(data, words | cells, caption(study, axis=axis), 1)


def caption(study: dict, *, axis: str) -> str:
    """What the table shows and how its numbers came about."""
    name = axis_names(study).get(axis, axis)
    alone = along(study, axis)[1]
    rest = "all else as in the baseline" if alone else "mean and spread over everything else that varies"
    return f"Accuracy by {name}, {rest}. {protocol(study)}"
