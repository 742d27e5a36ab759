from typing import TYPE_CHECKING

from espalier.counted import counted
from espalier.results.compare.comparison import label_columns, row_names, spread_words
from espalier.results.format import numbers
from espalier.results.format.captions import Caption
from espalier.results.format.protocols import chosen
from espalier.results.format.table import Table, table_of
from espalier.results.read import trainings
from espalier.results.read.planned_study import headline, headline_words
from espalier.settings.registry import register

if TYPE_CHECKING:
    import pandas as pd

_COSTS = ("params", "nonzeros", "macs", "file_bytes", "latency_1_ms", "latency_64_ms", "speedup_1", "speedup_64")


@register("table", stage="prune")
def pruning(frame, study: dict) -> Table:
    """What pruning gains and costs: accuracy beside the network before, parameters, MACs, bytes, latency."""
    data = measured(frame, study)
    labels = label_columns(frame[frame["configuration"].isin(data.index)], data.index, study)
    words = row_names(labels, data.index, study)
    cells = _printed(data, study)
    for place, (axis, column) in enumerate(labels.items()):
        data.insert(place, axis, column)
    return table_of(data, words | cells, len(words))


def measured(frame: "pd.DataFrame", study: dict) -> "pd.DataFrame":
    """Results of every pruned configuration: a row each.

    Columns are `n`, mean and sample standard deviation of the accuracy (`top1`) and of its difference from the unpruned
    network of the same repeat (`change`), and mean costs.
    """
    main = headline(study)
    before = trainings.accuracy(frame, study, main)
    pruned = frame[frame["run.prune"].notna()].copy()
    pruned["top1"] = pruned[main]
    pruned["change"] = pruned[main] - trainings.last(pruned).map(before)
    pruned["compression"] = 100 * pruned["params"] / pruned["params_left"] / pruned["nonzeros"]
    groups = pruned.groupby("configuration", sort=False)
    data = groups[["top1", "change"]].agg(["count", "mean", "std"])
    data.columns = [f"{name}_{part}" for name, part in data.columns]
    data = data.drop(columns="change_count").rename(columns={"top1_count": "n"})
    kept = ["sparsity", "compression", "params_left", "macs_left", *_COSTS]
    return data.join(groups[kept].mean())


def _printed(data: "pd.DataFrame", study: dict) -> dict[str, list[str]]:
    head = headline_words(study)
    cells = {head: _spread(data, "top1"), "n": [str(int(n)) for n in data["n"]]}
    if data["change_mean"].notna().any():
        changes = zip(data["change_mean"], data["change_std"], strict=True)
        cells["Change (points)"] = [numbers.change(*pair) for pair in changes]
    cells["Sparsity (%)"] = [numbers.plain(value, 1) for value in data["sparsity"]]
    cells["Compression (×)"] = [numbers.plain(value, 1) for value in data["compression"]]
    for column, name, left in (("params", "Params", "params_left"), ("macs", "MACs", "macs_left")):
        divisor, prefix = numbers.count_unit(data[column])
        counts = [numbers.scaled(value, divisor, whole=True) for value in data[column]]
        parts = [f"{value} ({share:.0f} %)" for value, share in zip(counts, data[left], strict=True)]
        cells[f"{name} ({prefix})" if prefix else name] = parts
    cells |= [numbers.sizes("File", data["file_bytes"].tolist())]
    for batch in (1, 64):
        times = zip(data[f"latency_{batch}_ms"], data[f"speedup_{batch}"], strict=True)
        cells[f"Latency, {counted(batch, 'image')} (ms)"] = [f"{ms:.2f} ({gain:.2f}×)" for ms, gain in times]
    return cells


def _spread(data: "pd.DataFrame", name: str) -> list[str]:
    return [numbers.spread(*pair) for pair in zip(data[f"{name}_mean"], data[f"{name}_std"], strict=True)]


def caption(study: dict) -> Caption:
    """What the table shows and how its numbers came about."""
    tested = ", and the test split is scored once, at the end" if headline(study) == "test_top1" else ""
    return Caption(
        "Pruned networks beside the same ones before",
        "In brackets: what is left of parameters and MACs, and how many times faster. Change is taken repeat by "
        f"repeat. {spread_words(study)}",
        "Sparsity is the part of the weights of convolutions and linear layers that is zero; compression the "
        "parameters before over the non-zero ones after. The file holds the weights in fp32, zeros included "
        "(1 kB = 1,000 bytes). Latency is the median of eager PyTorch on the CPU, measured in turn with the network "
        f"before. {chosen(study, 'The epoch, and where there are rounds the round, is', tested)}",
    )
