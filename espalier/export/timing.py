"""How fast the forms of a network run, all in turn."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from espalier.data.resident import Resident
from espalier.metrics.latency import BATCHES, filled, latency


def timed(arms: Mapping[str, nn.Module | Callable[[Tensor], object]], data: Resident) -> dict[str, dict[str, Any]]:
    """Form → the columns of formats.csv that hold times, on validation images; speedups are over the first form."""
    rows: dict[str, dict[str, Any]] = {name: {} for name in arms}
    for batch in BATCHES:
        (images, _) = next(data.batches("validation", batch))
        found = latency([*arms.values()], filled(images, batch))
        for row, own in zip(rows.values(), found, strict=True):
            row |= {f"latency_{batch}_ms": own.median, f"latency_{batch}_iqr_ms": own.spread}
            row |= {f"speedup_{batch}": own.speedup(found[0])}
    return rows
