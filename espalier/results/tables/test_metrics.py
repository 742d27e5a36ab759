from espalier.results.compare.comparison import spread_words
from espalier.results.compare.configuration_table import labelled, spreads
from espalier.results.format.captions import Caption
from espalier.results.format.table import Table
from espalier.results.read import evaluations
from espalier.settings.registry import register


@register("table", stage="evaluate")
def test_metrics(frame, study: dict) -> Table:
    """Every number that the metrics of a study give on the test split, metrics of your own included."""
    keys = ["configuration", "repeat"]
    found = evaluations.numbers(frame, study)
    names = [name for name in found.columns if name not in keys]
    groups = frame[keys].merge(found, "left", keys).groupby("configuration", sort=False)
    data = groups[names].count().max(axis=1).fillna(0).astype(int).rename("n").to_frame()
    columns, cells = spreads(groups, dict(zip(names, names, strict=True)), study, dict.fromkeys(names, 4))
    cells["n"] = [str(n) for n in data["n"]]
    return labelled(data.assign(**columns), cells, frame, study)


def caption(study: dict) -> Caption:
    """What the table shows and how its numbers came about."""
    title = "The numbers of the study's metrics on the test split"
    return Caption(title, spread_words(study), "Columns bear the names that the metrics give them.")
