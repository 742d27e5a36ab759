from espalier.results.compare import verdicts
from espalier.results.compare.comparison import (
    ASKED_FOR,
    first_places,
    grouped,
    headed,
    printed,
    protocol,
    spread_words,
)
from espalier.results.format.captions import Caption
from espalier.results.format.protocols import rest
from espalier.results.format.table import Table, table_of
from espalier.results.read.planned_study import along, axis_names, baseline_number, headline
from espalier.settings.registry import register
from espalier.settings.types import Positive


@register("table")
def by_axis(frame, study: dict, *, axis: str, margin: Positive = 0.5) -> Table:
    """One row for each value of one axis, from the points that differ from the baseline in this axis alone.

    Args:
        axis: key path of the axis whose values are compared
        margin: difference of accuracy, in points, within which a value is equivalent to that of the baseline
    """
    chosen, alone = along(study, axis)
    by = f"label.{axis}"
    if not alone:
        data = grouped(frame, by, study)
        words = headed({axis: [str(label) for label in data.index]}, study)
        cells = printed(data, study)
        data.insert(0, axis, data.index)
        return table_of(data, words | cells, 1, asked_for=ASKED_FOR)
    from espalier.results.compare import other_images
    from espalier.results.compare.samples import samples

    labels = frame.drop_duplicates("configuration").set_index("configuration")[by]
    labels = labels[labels.index.isin(chosen)]
    data = grouped(frame, "configuration", study).loc[labels.index]
    bold = first_places(frame, data.index, study)
    answers = other_images.answers(frame[frame["configuration"].isin(chosen)], study)
    number = baseline_number(study)
    found = verdicts.against(
        samples(frame, "configuration", headline(study)).chosen(data.index),
        number,
        margin,
        other_images.intervals(answers, number),
    )
    words = headed({axis: labels.tolist()}, study)
    cells = printed(data, study) | {"Against the baseline": found["verdict"].tolist()}
    (data["first_place"],) = bold.values()
    data = data.join(found)
    data.insert(0, axis, labels)
    return table_of(data, words | cells, 1, bold, asked_for=ASKED_FOR)


def caption(study: dict, *, axis: str, margin: float) -> Caption:
    """What the table shows and how its numbers came about."""
    name = axis_names(study).get(axis, axis)
    title = f"Accuracy by {name}, {rest(study, axis)}"
    if along(study, axis)[1]:
        judged = f"{verdicts.against_words(margin)} {verdicts.BOLD}"
        return Caption(title, f"{verdicts.RESOLVED} {spread_words(study)}", f"{protocol(study)} {judged}")
    return Caption(title, f"Each row is a mean. {spread_words(study)}", f"{protocol(study)} {verdicts.WITHIN_SEED}")
