from typing import TYPE_CHECKING

from espalier.counted import counted
from espalier.results.compare.comparison import label_columns, row_names, spread_words
from espalier.results.format import numbers
from espalier.results.format.captions import Caption
from espalier.results.format.protocols import chosen
from espalier.results.format.table import Table, table_of
from espalier.results.read.accounts import MEASURES, accounts
from espalier.results.read.planned_study import headline
from espalier.settings.registry import register

if TYPE_CHECKING:
    import pandas as pd

_SPREAD = {"validation_top1": "Validation top-1 (%)", "test_top1": "Test top-1 (%)"}


@register("table")
def accounting(frame, study: dict) -> Table:
    """Every chain stage by stage: accuracy, parameters, bits a weight, bytes on disk, activations and latency. Chains
    that only train are left out where others go further."""
    rows = accounts(frame, study)
    # Chains that end with training have nothing to account for beside others that go on.
    longer = rows.loc[rows["stage"] != "original", "configuration"]
    rows = rows[rows["configuration"].isin(longer)] if len(longer) else rows
    if headline(study) != "test_top1":
        rows = rows.drop(columns="test_top1")
    measures = [name for name in MEASURES if name in rows]
    groups = rows.groupby(["configuration", "stage"], sort=False)
    data = groups[measures].mean()
    data.columns = [f"{name}_mean" if name in _SPREAD else name for name in measures]
    for name in (name for name in _SPREAD if name in rows):
        data.insert(data.columns.get_loc(f"{name}_mean") + 1, f"{name}_sd", groups[name].std(ddof=1))
    data.insert(0, "n", groups["validation_top1"].count())
    data = data.reset_index()
    labels = label_columns(frame, data["configuration"], study)
    words = row_names(labels, data["configuration"], study) | {"Stage": data["stage"].tolist()}
    cells = _printed(data)
    data = data.drop(columns="configuration")
    for place, (axis, column) in enumerate(labels.items()):
        data.insert(place, axis, column)
    return table_of(data, words | cells, len(words))


def _printed(data: "pd.DataFrame") -> dict[str, list[str]]:
    cells = {}
    for name, head in _SPREAD.items():
        if f"{name}_mean" in data:
            cells[head] = [numbers.spread(*pair) for pair in zip(data[f"{name}_mean"], data[f"{name}_sd"], strict=True)]
    cells["n"] = [str(n) for n in data["n"]]
    for column, name in (("params", "Params"), ("nonzeros", "Non-zeros")):
        cells |= [numbers.counts(name, data[column].tolist())]
    cells["Bits a weight"] = [_significant(value) for value in data["bits"]]
    cells |= [numbers.sizes("File", data["file_bytes"].tolist())]
    cells["File (×)"] = [numbers.plain(value, 1) for value in data["file_ratio"]]
    cells["Weights (×)"] = [numbers.plain(value, 1) for value in data["weight_ratio"]]
    cells["Activations (MiB)"] = [_significant(value) for value in data["activation_mib"]]
    cells["Activations (×)"] = [numbers.plain(value, 1) for value in data["activation_ratio"]]
    for batch in (1, 64):
        column = data[f"latency_{batch}_ms"]
        if column.notna().any():
            head = f"Latency, {counted(batch, 'image')} (ms)"
            cells[head] = [numbers.plain(value) for value in column]
    return cells


def _significant(value: float) -> str:
    return f"{value:.3g}" if value == value else numbers.MISSING


def caption(study: dict) -> Caption:
    """What the table shows and how its numbers came about."""
    tested = "; the test split is scored once for each network" if headline(study) == "test_top1" else ""
    return Caption(
        "What each stage of a chain leaves",
        f"A row is a network as its stage wrote it. ×: how many times smaller than the original's its file, "
        f"weights and activations are. {spread_words(study)}",
        "A coded network is scored from its decoded file, an exported one as it runs. The file is the one that holds "
        "the weights (1 kB = 1,000 bytes), which until it is coded are floats on the disk, on their levels or not. "
        "Bits a weight are the width of a weight, in a coded file those that its stream of levels takes, over all "
        "quantized weights, zeros included; Weights (×) is 32 over these, times parameters before over "
        "those left. Activations are the inputs of all convolutions and linear layers of one "
        "image, at their width (1 MiB = 2^20 bytes). Latency is a median on the CPU, measured in turn within a chain: "
        "with the exported files, or, without these, with the network before pruning. "
        f"{chosen(study, 'Epochs are', tested)} All but accuracies are means alone.",
    )
