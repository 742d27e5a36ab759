from typing import TYPE_CHECKING

from espalier.results.compare import same_size as found
from espalier.results.compare.comparison import protocol, spread_words
from espalier.results.format import numbers
from espalier.results.format.captions import Caption
from espalier.results.format.marks import names
from espalier.results.format.table import Table, table_of
from espalier.results.read.planned_study import headline
from espalier.settings.registry import register

if TYPE_CHECKING:
    import pandas as pd

_PARTS = ("n", "mean", "sd", "low", "high")


@register("table", stage="prune")
def equal_size(frame, study: dict) -> Table:
    """Networks built small beside networks pruned to the same number of parameters, and which of the two is more
    accurate."""
    import pandas as pd

    data, named, main = found.sizes(frame, study), names(study), headline(study)
    lines = []
    for params, group in data.groupby("params", sort=False):
        built, pruned = (group[group["way"] == way] for way in found.WAYS)
        pairs = [(one, other) for one in built.index for other in pruned.index]
        for one, other in pairs:
            line = {"params": params, "macs_built": data["macs"][one], "macs_pruned": data["macs"][other]}
            line |= {"built": named[one], "pruned": named[other]}
            for way, number in zip(found.WAYS, (one, other), strict=True):
                line |= {f"{way}_{part}": data[f"{main}_{part}"][number] for part in _PARTS}
            lines.append(line | {"difference": line["pruned_mean"] - line["built_mean"]})
    columns = ["params", "macs_built", "macs_pruned", *found.WAYS]
    columns += [f"{way}_{part}" for way in found.WAYS for part in _PARTS] + ["difference"]
    table = pd.DataFrame(lines, columns=columns)
    words = {"Built": table["built"].tolist(), "Pruned": table["pruned"].tolist()}
    return table_of(table, words | _printed(table), len(words))


def _printed(table: "pd.DataFrame") -> dict[str, list[str]]:
    cells = {"Params": [numbers.scaled(value, 1, whole=True) for value in table["params"]]}
    for way in found.WAYS:
        pairs = zip(table[f"{way}_mean"], table[f"{way}_sd"], strict=True)
        cells[f"{way.capitalize()} top-1 (%)"] = [numbers.spread(*pair) for pair in pairs]
        cells[f"n {way}"] = [str(int(n)) for n in table[f"{way}_n"]]
    cells["Pruned less built (points)"] = [numbers.signed(value) for value in table["difference"]]
    return cells


def caption(study: dict) -> Caption:
    """What the table shows and how its numbers came about."""
    split = "Test" if headline(study) == "test_top1" else "Validation"
    return Caption(
        f"{split} top-1 of networks with the same number of parameters",
        f"Built so and trained, or trained larger, pruned and trained on. {spread_words(study)}",
        f"A pair stands here once a run of each is done. {protocol(study, interval=False)}",
    )
