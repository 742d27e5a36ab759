"""The fixed columns of every CSV a run writes, and the one writer that enforces them.

Accuracies (`*_top1`, `*_top5`) are percentages of images, `*_balanced_top1` the mean of the classes' own top-1, losses
mean cross-entropy in nats an image,
`*_s` seconds, `*_ms` milliseconds, `*_mib` 2^20 bytes. `nonzeros` are parameters that are not zero, `sparsity` the
percentage of the weights of convolutions and linear layers that are, `params_left` and `macs_left` percentages of the
parent's, `speedup_*` the parent's latency over the network's own at that many images, measured in turn.
`theoretical_mib` is what non-zero weights with 16-bit indices and all else in fp32 would take, `activation_mib` the
inputs of all convolutions and linear layers of one image, at their width. Of a coded network `level_bytes` are its
streams of levels, `bound_bytes` their order-0 entropy, `dense_bytes` the fp32 file of the network that the chain began
with, and `compression` that over `file_bytes`. `mean_corruption_error` is the percentage of corrupted test images that
are wrong, a mean over corruptions and strengths that no other network's errors normalize.
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
    "validation_balanced_top1",
    "images_per_s",
    "epoch_s",
)

BEST_EPOCH = (
    "train_loss",
    "train_top1",
    "validation_loss",
    "validation_top1",
    "validation_top5",
    "validation_balanced_top1",
    "images_per_s",
)
"""What metrics.csv has of the best epoch's row of history."""

ROUNDS = ("round", "sparsity", "nonzeros", "params", "epochs", "validation_loss", "validation_top1", "kept")
"""A row a round of pruning; `kept` is 1 where the round's validation top-1 reached the floor."""

LAYERS = ("layer", "weights", "nonzeros", "sparsity")
"""A row a convolution or linear layer of a pruned network; sparsity in percent of its weights."""

FORMATS = (
    "format",
    "file_bytes",
    "max_logit_difference",
    "top1_difference",
    "validation_top1",
    "latency_1_ms",
    "latency_1_iqr_ms",
    "latency_64_ms",
    "latency_64_iqr_ms",
    "speedup_1",
    "speedup_64",
)
"""A row a form of a network that ran: eager PyTorch, from which the others differ in logits and in points of top-1 on
validation images, and ONNX; `speedup_*` is eager's latency over the form's."""

GRID = (
    "weight_bits",
    "activation_bits",
    "kept",
    "theoretical_mib",
    "activation_mib",
    "validation_loss",
    "validation_top1",
    "validation_top5",
)
"""A row a setting of widths; 32 bits are floats, and `kept` is 1 for the setting that the chain goes on with."""

ANATOMY = ("purpose", "name", "codec", "bytes", "bound_bytes", "conditional_bytes")
"""A row a part of a coded file; the parts are the file. Beside a tensor's weights stands the order-0 entropy of its
levels, and that given their row and column."""

LADDER = ("method", "level_bytes", "other_bytes")
"""A row a way to keep the same levels; `other_bytes` where the way says how all else is kept."""

SCORES = (
    "stage",
    "run",
    "weight_bits",
    "activation_bits",
    "format",
    "kept",
    "images",
    "test_loss",
    "test_top1",
    "test_top5",
    "test_balanced_top1",
)
"""A row a network of a chain that was scored on the test split: each stage's, each setting of widths, each form."""


MEASURED = ("metric", "value")
"""A row a number that a metric of `evaluate.metrics` gives, of the network at the end of a chain on the test split."""

CORRUPTED = (
    "stage",
    "run",
    "weight_bits",
    "activation_bits",
    "format",
    "images",
    "corruption",
    "strength",
    "clean_top1",
    "top1",
)
"""A row a network that a chain goes on with or an exported file, a corruption and a strength: top-1 on so many
corrupted test images, and `clean_top1` on the same ones as they are."""


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
