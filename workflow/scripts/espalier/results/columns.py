"""The fixed columns of every CSV a run writes, and the one writer that enforces them.

Accuracies (`*_top1`, `*_top5`) are percentages of images, losses mean cross-entropy in nats an image,
`*_s` seconds, `*_ms` milliseconds, `*_mib` 2^20 bytes. `nonzeros` are parameters that are not zero, `sparsity` the
percentage of the weights of convolutions and linear layers that are, `params_left` and `macs_left` percentages of the
parent's, `speedup_*` the parent's latency over the network's own at that many images, measured in turn.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from espalier.files import write_text

HISTORY = (
    "epoch",
    "lr",
    "train_loss",
    "train_top1",
    "validation_loss",
    "validation_top1",
    "validation_top5",
    "images_per_s",
    "epoch_s",
)

ROUNDS = ("round", "sparsity", "nonzeros", "params", "epochs", "validation_loss", "validation_top1", "kept")
"""A row a round of pruning; `kept` is 1 where the round's validation top-1 reached the floor."""

LAYERS = ("layer", "weights", "nonzeros", "sparsity")
"""A row a convolution or linear layer of a pruned network; sparsity in percent of its weights."""

METRICS = {
    "train": (
        "run",
        "parent",
        "params",
        "macs",
        "epochs",
        "best_epoch",
        "train_loss",
        "train_top1",
        "validation_loss",
        "validation_top1",
        "validation_top5",
        "images_per_s",
        "wall_s",
        "cpu_s",
        "peak_memory_mib",
    ),
    "prune": (
        "run",
        "parent",
        "params",
        "macs",
        "nonzeros",
        "sparsity",
        "params_left",
        "macs_left",
        "file_bytes",
        "rounds",
        "epochs",
        "best_epoch",
        "train_loss",
        "train_top1",
        "validation_loss",
        "validation_top1",
        "validation_top5",
        "latency_1_ms",
        "latency_1_iqr_ms",
        "latency_64_ms",
        "latency_64_iqr_ms",
        "speedup_1",
        "speedup_64",
        "images_per_s",
        "wall_s",
        "cpu_s",
        "peak_memory_mib",
    ),
    "evaluate": ("run", "parent", "images", "test_loss", "test_top1", "test_top5", "wall_s", "cpu_s"),
}


def write_rows(path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a CSV in one rename.

    Raises:
        ValueError: a row has a key that is no column, or lacks one.
    """
    columns = tuple(columns)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        if set(row) != set(columns):
            raise ValueError(f"{path}: columns {sorted(set(row) ^ set(columns))} are unknown or missing")
        writer.writerow(row)
    write_text(path, text.getvalue())
