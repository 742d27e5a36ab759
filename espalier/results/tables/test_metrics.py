from espalier.results.compare.comparison import headed, label_columns
from espalier.results.format import numbers
from espalier.results.format.marks import starred
from espalier.results.format.table import Table, of
from espalier.results.read import evaluations
from espalier.results.read.planned_study import unit
from espalier.settings.registry import register


@register("table", stage="evaluate")
def test_metrics(frame, study: dict) -> Table:
    """Every number that the metrics of a study, a user's own among them, give on the test split."""
    keys = ["configuration", "repeat"]
    found = evaluations.numbers(frame, study)
    names = [name for name in found.columns if name not in keys]
    groups = frame[keys].merge(found, "left", keys).groupby("configuration", sort=False)
    data = groups[names].count().max(axis=1).fillna(0).astype(int).rename("n").to_frame()
    cells = {}
    for name in names:
        data[f"{name}_mean"], data[f"{name}_sd"] = groups[name].mean(), groups[name].std(ddof=1)
        pairs = zip(data[f"{name}_mean"], data[f"{name}_sd"], strict=True)
        cells[starred(name, study)] = [numbers.spread(*pair, 4) for pair in pairs]
    cells["n"] = [str(n) for n in data["n"]]
    labels = label_columns(frame, data.index, study)
    words = headed(labels, study)
    for place, (axis, column) in enumerate(labels.items()):
        data.insert(place, axis, column)
    return of(data, words | cells, len(words))


def caption(study: dict) -> str:
    """What the table shows and how its numbers came about."""
    return (
        "The numbers of the study's metrics on the test split, by the names that the metrics give them. "
        f"± is the sample standard deviation over n repeats ({unit(study)})."
    )
