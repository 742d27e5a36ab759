from espalier.results.compare.comparison import label_columns, row_names
from espalier.results.format import numbers
from espalier.results.format.captions import Caption
from espalier.results.format.table import Table, table_of
from espalier.results.read import rungs
from espalier.settings.registry import register


@register("table", halving=True)
def halving(frame, study: dict) -> Table:
    """What each configuration had reached at every rung of `halving`, and which of them went on."""
    data, epochs = rungs.rung_scores(frame, study)
    labels = label_columns(frame, data.index, study)
    words = row_names(labels, data.index, study)
    cells = {f"Epoch {each}": [numbers.plain(value) for value in data[f"epoch_{each}"]] for each in epochs}
    cells["Stopped after"] = ["" if each != each else f"{each:.0f}" for each in data["stopped_at"]]
    for place, (axis, column) in enumerate(labels.items()):
        data.insert(place, axis, column)
    return table_of(data, words | cells, len(words), matrix=True)


def caption(study: dict) -> Caption:
    """What the table shows and how its numbers came about."""
    return Caption(
        "What each configuration had reached at every rung",
        f"{rungs.whose(study)} of the best validation so far, in percent, or of the loss below zero where it chooses.",
        "The last epoch is that of finished trainings. The best at a rung go on, and nothing else is trained further. "
        "A training that goes on is the same as one that was never paused. No mean of other tables holds one "
        "that was stopped.",
    )
