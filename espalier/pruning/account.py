"""What pruning bought: parameters, zeros, arithmetic, bytes, and time measured beside the parent."""

from pathlib import Path
from typing import Any

from torch import nn

from espalier.data.resident import Resident
from espalier.metrics import cost
from espalier.metrics.latency import BATCHES, filled, latency
from espalier.pruning import masks


def nonzeros(model: nn.Module) -> int:
    """Parameters that are not zero."""
    return sum(int(parameter.count_nonzero()) for parameter in model.parameters())


def sparsity(model: nn.Module) -> float:
    """Percentage of the weights of convolutions and linear layers that are zero."""
    return 100 * masks.from_zeros(model).sparsity


def layer_rows(model: nn.Module) -> list[dict[str, Any]]:
    """Columns of layers.csv."""
    return [
        {"layer": row.path.removesuffix(".weight"), "weights": row.weights, "nonzeros": row.nonzeros}
        | {"sparsity": 100 * row.sparsity}
        for row in masks.rows(model)
    ]


def account(model: nn.Module, parent: nn.Module, data: Resident, file: Path) -> dict[str, Any]:
    """Columns of metrics.csv: `model` against its `parent`, and the size of the file that holds it."""
    params, macs = cost.params(model), cost.macs(model, data.image_size, data.channels)
    row = {
        "params": params,
        "macs": macs,
        "nonzeros": nonzeros(model),
        "sparsity": sparsity(model),
        "params_left": 100 * params / cost.params(parent),
        "macs_left": 100 * macs / cost.macs(parent, data.image_size, data.channels),
        "file_bytes": file.stat().st_size,
    }
    for batch in BATCHES:
        (images, _) = next(data.batches("validation", batch))
        own, before = latency([model, parent], filled(images, batch))
        row |= {f"latency_{batch}_ms": own.median, f"latency_{batch}_iqr_ms": own.spread}
        row |= {f"speedup_{batch}": own.speedup(before)}
    return row
