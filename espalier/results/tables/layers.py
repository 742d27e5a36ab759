import csv
from pathlib import Path

from espalier.results.format import numbers
from espalier.results.format.captions import Caption
from espalier.results.format.table import Table, table_of
from espalier.results.read.planned_study import short_names
from espalier.settings.registry import register
from espalier.settings.types import Count


@register("table", stage="prune")
def layers(frame, study: dict, *, repeat: Count = 1) -> Table:
    """The sparsity of every layer of every pruned network: a layer about to collapse shows here.

    Args:
        repeat: which of the repeats is shown; the first is 1
    """
    import pandas as pd

    found: dict[str, dict[str, float]] = {}
    names = short_names(study)
    chosen = frame[(frame["repeat"] == repeat - 1) & frame["run.prune"].notna()]
    for configuration, run in zip(chosen["configuration"], chosen["run.prune"], strict=True):
        found[names[configuration]] = _sparsity(Path(study["runs"][run]["path"], "layers.csv"))
    order = list(dict.fromkeys(layer for column in found.values() for layer in column))
    data = pd.DataFrame({name: [column.get(layer) for layer in order] for name, column in found.items()}, dtype=float)
    cells = {name: [numbers.plain(value, 1) for value in data[name]] for name in data}
    data.insert(0, "layer", order)
    return table_of(data, {"Layer": order} | cells, 1, matrix=True)


def _sparsity(path: Path) -> dict[str, float]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {row["layer"]: float(row["sparsity"]) for row in csv.DictReader(file)}
    except (OSError, KeyError, ValueError):
        return {}


def caption(study: dict, *, repeat: int) -> Caption:
    """What the table shows."""
    which = f", repeat {repeat}" if study["repeats"] > 1 else ""
    return Caption(
        f"Sparsity by layer in percent of its weights{which}",
        "A layer near 100 passes hardly anything on.",
        "Global magnitude pruning can empty one layer while others are full, which the floor of each layer prevents.",
    )
