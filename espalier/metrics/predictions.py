"""What a network says of every image of a split, as a CSV to look through or to hand in."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from espalier.data.prepared import Split
from espalier.runs.columns import write_rows

COLUMNS = ("id", "label", "predicted")


class Predictions:
    """The logits of a split and the classes predicted from them, kept on the device batch by batch."""

    def __init__(self) -> None:
        self._logits: list[Tensor] = []
        self._predicted: list[Tensor] = []

    def add(self, logits: Tensor, predicted: Tensor) -> None:
        """The next batch, as `accuracy.score` hands it out."""
        self._logits.append(logits)
        self._predicted.append(predicted)

    def write(self, path: Path, split: Split, classes: Sequence[str]) -> None:
        """Write a row an image of `split`, in its order.

        The columns are `id`, the image's place in its source; `label` and `predicted`, names of classes; and
        `probability.<class>`, softmax to six significant digits.
        """
        probabilities = torch.cat(self._logits).cpu().double().softmax(1)
        heads = [f"probability.{name}" for name in classes]
        facts = (split.indices.tolist(), split.labels.tolist(), torch.cat(self._predicted).tolist(), probabilities)
        rows = (
            {"id": place, "label": classes[label], "predicted": classes[guess]}
            | dict(zip(heads, (f"{value:.6g}" for value in row.tolist()), strict=True))
            for place, label, guess, row in zip(*facts, strict=True)
        )
        write_rows(path, (*COLUMNS, *heads), rows)
