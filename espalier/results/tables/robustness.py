from espalier.results.compare.comparison import label_columns, row_names, spread_words
from espalier.results.compare.configuration_table import spreads
from espalier.results.format.captions import Caption
from espalier.results.format.table import Table, table_of
from espalier.results.read import evaluations
from espalier.results.read.planned_study import Study
from espalier.settings.registry import register

_HEADS = {"clean_top1": "Clean test top-1 (%)", "mean_corruption_error": "Mean corruption error (%)"}


@register("table", stage="evaluate", corrupted=True)
def robustness(frame, study: dict) -> Table:
    """Top-1 of each stage of every chain on clean test images, and its error on corrupted ones."""
    rows = evaluations.corruptions(frame, study)
    groups = rows.groupby(["configuration", "stage"], sort=False)
    data = groups["clean_top1"].count().rename("n").to_frame()
    columns, cells = spreads(groups, _HEADS, study)
    cells["n"] = [str(n) for n in data["n"]]
    data = data.assign(**columns).reset_index()
    labels = label_columns(frame, data["configuration"], study)
    words = row_names(labels, data["configuration"], study) | {"Stage": data["stage"].tolist()}
    data = data.drop(columns="configuration")
    for place, (axis, column) in enumerate(labels.items()):
        data.insert(place, axis, column)
    return table_of(data, words | cells, len(words))


def caption(study: dict) -> Caption:
    """What the table shows and how its numbers came about."""
    return Caption(
        "Top-1 on clean test images, and error on the same ones corrupted",
        f"The mean corruption error is a mean of the top-1 error over corruptions and strengths. {spread_words(study)}",
        f"Images are corrupted by {_corrupted(study)} (after Hendrycks & Dietterich 2019); the error is not divided by "
        "AlexNet's, as theirs is. A row is a network that its chain goes on with, or one of its exported files; chains "
        "that others go on from are left out.",
    )


def _corrupted(study: Study) -> str:
    """The corruptions, in words."""
    asked = {
        tuple(tuple(run["settings"].get(f"evaluate.corruptions.{part}", ())) for part in ("names", "strengths"))
        for run in study["runs"].values()
        if run["stage"] == "evaluate" and run["settings"].get("evaluate.corruptions.names")
    }
    if len(asked) != 1:
        return "corruptions"
    ((names, strengths),) = asked
    how_many = f"{len(strengths)} strengths" if len(strengths) > 1 else f"strength {strengths[0]}"
    return f"{', '.join(name.replace('_', ' ') for name in names)} at {how_many}"
