"""What a network says of every image of a split: measured, and as a CSV to look through or to hand in."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from espalier.data.prepared import Split
from espalier.errors import Mistake
from espalier.files import replacing
from espalier.metrics import correct
from espalier.runs.columns import MEASURED, write_rows
from espalier.settings.registry import Choice

COLUMNS = ("id", "label", "predicted")
_NAMED = ("class", "label", "predicted")
"""Columns of a metric's table that hold numbers of classes."""


class Predictions:
    """The logits of a split and the classes predicted from them, kept on the device batch by batch."""

    def __init__(self, split: Split, classes: Sequence[str]) -> None:
        self._split, self._classes = split, classes
        self._logits: list[Tensor] = []
        self._guesses: list[Tensor] = []

    def add(self, logits: Tensor, predicted: Tensor) -> None:
        """The next batch, as `accuracy.score` hands it out."""
        self._logits.append(logits)
        self._guesses.append(predicted)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits, float64 (n, classes)."""
        return torch.cat(self._logits).cpu().double().softmax(1).numpy()

    @cached_property
    def predicted(self) -> np.ndarray:
        """int64 (n,)"""
        return torch.cat(self._guesses).cpu().numpy()

    def write(self, path: Path) -> None:
        """Write a row an image of the split, in its order.

        The columns are `id`, the image's place in its source; `file`, where the source has files; `label` and
        `predicted`, names of classes; and `probability.<class>`, softmax to six significant digits.
        """
        split, classes = self._split, self._classes
        heads = [f"probability.{name}" for name in classes]
        facts = (split.indices.tolist(), split.labels.tolist(), self.predicted.tolist(), self.probabilities.tolist())
        files = [{"file": name} for name in split.files] or [{}] * len(split.labels)
        rows = (
            {"id": place, "label": classes[label], "predicted": classes[guess]}
            | file
            | dict(zip(heads, (f"{value:.6g}" for value in row), strict=True))
            for file, place, label, guess, row in zip(files, *facts, strict=True)
        )
        write_rows(path, (COLUMNS[0], *files[0], *COLUMNS[1:], *heads), rows)

    def write_correct(self, path: Path) -> None:
        """Write whether each image was right, a bit an image; `correct.read` reads it."""
        with replacing(path) as temporary:
            temporary.write_bytes(correct.packed(self.predicted == self._split.labels.numpy()))

    def write_measured(self, folder: Path, numbers: str, metrics: Sequence[Choice]) -> tuple[str, ...]:
        """Write what metrics measure: their numbers to one file, each table to <metric>.csv; the names of the tables.

        Raises:
            Mistake: a metric gives something else than it should, two give a number of one name, or a probability that
                a metric needs is not finite.
        """
        found: dict[str, Any] = {}
        tables = []
        probabilities, labels = self.probabilities.view(), self._split.labels.numpy().view()
        if metrics and not np.isfinite(probabilities).all():
            mend = "evaluate.metrics: [] scores the network without metrics"
            raise Mistake(f"evaluate.metrics: the network answers some images with NaN or infinite logits; {mend}")
        # A metric that changed them would change what the next one measures.
        probabilities.flags.writeable = labels.flags.writeable = False
        for metric in metrics:
            value = metric.build(probabilities, labels)
            columns = metric.entry().facts.get("columns")
            if columns is None:
                if twice := sorted(found.keys() & _numbers(metric, value).keys()):
                    raise Mistake(f"evaluate.metrics: {metric.name} gives {twice[0]}, as one before it; leave one out")
                found |= value
            else:
                tables.append(f"{metric.name}.csv")
                write_rows(folder / tables[-1], columns, map(self._with_names, value))
        write_rows(folder / numbers, MEASURED, ({"metric": name, "value": value} for name, value in found.items()))
        return tuple(tables)

    def _with_names(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {**row, **{column: self._classes[row[column]] for column in _NAMED if column in row}}


def _numbers(metric: Choice, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        mend = 'one that gives rows names their columns, @register("metric", columns=(…))'
        raise Mistake(f"evaluate.metrics: {metric.name} gives no numbers by name; {mend}")
    return value
