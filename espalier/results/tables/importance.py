from espalier.results.compare.importance import EXPLAINED, compared_scores, notes
from espalier.results.compare.importance import importance as measured
from espalier.results.format import numbers
from espalier.results.format.captions import Caption
from espalier.results.format.protocols import untested
from espalier.results.format.table import Table, table_of
from espalier.settings.registry import register


@register("table")
def importance(frame, study: dict) -> Table:
    """How much of the differences in validation top-1 each axis explains, measured by shuffling its values in random
    forests."""
    import pandas as pd

    found = measured(frame, study)
    if found.refused:
        return table_of(pd.DataFrame({"said": [found.refused]}), {"Importance": [found.refused]}, 1)
    whole = "all together" if found.readable else "all together: too little, read nothing into the rest"
    rows = [*((part.values.head, part.mean, part.low, part.high) for part in found.parts), (whole, *found.r2)]
    data = pd.DataFrame(rows, columns=["setting", "explained", "low", "high"]).assign(configurations=found.scored)
    ranges = zip(100 * data["low"], 100 * data["high"], strict=True)
    cells = {
        "Setting": data["setting"].tolist(),
        "Explains (% of the variance)": [numbers.plain(100 * value, 0) for value in data["explained"]],
        "Range (%)": [numbers.between(*ends, 0) for ends in ranges],
    }
    return table_of(data, cells, 1)


def caption(study: dict) -> Caption:
    """What the table shows and how its numbers came about."""
    few = f"Where all together explain less than {100 * EXPLAINED:.0f} %, read nothing into it."
    return Caption(
        "How much of the differences in validation top-1 each setting explains",
        f"{few} {compared_scores(study)}",
        f"{notes()} {untested(study)}",
    )
