from espalier.results.compare import verdicts
from espalier.results.compare.comparison import first_places, grouped, headed, printed, protocol
from espalier.results.format.protocols import rest
from espalier.results.format.table import Table, of
from espalier.results.read.planned_study import along, axis_names, headline
from espalier.settings.registry import register


@register("table")
def by_axis(frame, study: dict, *, axis: str) -> Table:
    """One row a value of one axis: the points that differ from the baseline in this axis alone.

    Args:
        axis: key path of the axis whose values are compared
    """
    chosen, alone = along(study, axis)
    frame, by = frame[frame["configuration"].isin(chosen)], f"label.{axis}"
    data = grouped(frame, by, study)
    words = headed({axis: [str(label) for label in data.index]}, study)
    cells = printed(data, study)
    bold = {}
    # Rows that are means over whatever else varies hold no repeats to be judged by.
    if alone:
        bold = first_places(frame, by, data.index, study)
        (data["first_place"],) = bold.values()
        found = verdicts.against(verdicts.samples(frame, by, headline(study)), study["baseline"][axis])
        data = data.join(found.drop(columns=["low", "high"]))
        cells["Against the baseline"] = found["verdict"].tolist()
    data.insert(0, axis, data.index)
    return of(data, words | cells, 1, bold)


def caption(study: dict, *, axis: str) -> str:
    """What the table shows and how its numbers came about."""
    name = axis_names(study).get(axis, axis)
    alone = along(study, axis)[1]
    shared = rest(study, axis) if alone else f"mean and spread {rest(study, axis)}"
    judged = f" {verdicts.AGAINST} {verdicts.BOLD}" if alone else ""
    return f"Accuracy by {name}, {shared}. {protocol(study)}{judged}"
