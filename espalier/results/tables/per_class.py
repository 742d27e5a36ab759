from espalier.results.compare.comparison import spread_words
from espalier.results.compare.configuration_table import spreads
from espalier.results.format import numbers
from espalier.results.format.captions import Caption
from espalier.results.format.marks import names
from espalier.results.format.table import Table, table_of
from espalier.results.read import evaluations
from espalier.settings.registry import register

_HEADS = {"precision": "Precision (%)", "recall": "Recall (%)", "f1": "F1 (%)"}


@register("table", stage="evaluate", metric="per_class")
def per_class(frame, study: dict, *, configuration: dict[str, str] | None = None) -> Table:
    """Precision, recall and F1 of every class on the test split, of one configuration.

    Args:
        configuration: axis → label of the configuration that is shown; axes that are not named, and all of them with
            null, have the study's own setting
    """
    shown = evaluations.shown(study, configuration)
    rows = evaluations.table(frame[frame["configuration"] == shown], study, "per_class", ("class",))
    rows = rows.reindex(columns=["class", *_HEADS, "images"])
    groups = rows.groupby("class", sort=False)
    data = groups["recall"].count().rename("n").to_frame()
    columns, cells = spreads(groups, _HEADS, study)
    data = data.assign(**columns, images=groups["images"].first()).reset_index()
    cells |= {"Images": [f"{count:.0f}" for count in data["images"]], "n": [str(n) for n in data["n"]]}
    if data.empty:
        words = {"Class": [f"No evaluation of {names(study)[shown]} has measured this yet"]}
        return table_of(data.reindex(range(1)), words | {head: [numbers.MISSING] for head in cells}, 1)
    return table_of(data, {"Class": data["class"].tolist()} | cells, 1)


def caption(study: dict, *, configuration: dict[str, str] | None) -> Caption:
    """What the table shows and how its numbers came about."""
    which = names(study)[evaluations.shown(study, configuration)]
    return Caption(
        f"Test images of each class: {which}",
        "Precision: right answers of those given with the class; recall: of the images of the class. "
        f"{spread_words(study)}",
        "F1 is the harmonic mean of precision and recall.",
    )
