"""Statistics of the tensors coded so far in a file: live rows and channels, their magnitudes, the model's memory.

They are the context of the tensors that follow.
"""

from functools import cached_property

import numpy as np

from espalier.coding import mixing
from espalier.coding.mixing import Memory

_EDGES = np.array([2, 3, 4, 6, 7, 9, 11, 14, 18, 24, 36])
"""Of what a line holds, in eighths of the mean of the live ones."""
_RECENT = 3


class EarlierTensors:
    """Remembers the lines (rows and channels) of earlier tensors by their number: consecutive layers share channels."""

    def __init__(self) -> None:
        self.spent = np.zeros(2)
        """bits that zeroness and values of the tensor took that was coded last by mixing"""
        self._live: dict[int, list[np.ndarray]] = {}
        self._magnitude_classes: dict[int, np.ndarray] = {}

    @cached_property
    def memory(self) -> Memory:
        """What coded tensors taught; made when the first is coded."""
        return mixing.memory()

    def add(self, levels: np.ndarray) -> None:
        """Remember a tensor's lines; `levels` is a matrix of rows, channels, taps."""
        if not levels.size:
            return
        sizes = np.abs(levels.astype(np.int64)).sum(2)
        for held in (sizes.sum(1), sizes.sum(0))[: 1 if levels.shape[1] == 1 else 2]:
            live = held > 0
            mean = max(int(held.sum()) // max(int(live.sum()), 1), 1)
            found = np.where(live, 1 + np.searchsorted(_EDGES, held * 8 // mean, "right"), 0)
            self._live[len(held)] = [live, *self._live.get(len(held), ())[: _RECENT - 1]]
            self._magnitude_classes[len(held)] = found.astype(np.int64)

    def live_flags(self, length: int) -> np.ndarray:
        """Flags of each line, int64 (length,): bit k says whether the line was live in the k-th latest tensor.

        Only tensors with so many lines count; three are remembered, and k is 0 for the latest.
        """
        found = np.zeros(length, np.int64)
        for place, live in enumerate(self._live.get(length, ())):
            found |= live.astype(np.int64) << place
        return found

    def magnitude_classes(self, length: int) -> np.ndarray:
        """The magnitude class of each line, int64 (length,), in the latest tensor with so many lines.

        It is 0 for a line of zeros; 1 to 12 compare its sum of magnitudes with the mean of the live lines.
        """
        return self._magnitude_classes.get(length, np.zeros(length, np.int64))
