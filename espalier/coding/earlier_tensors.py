"""What the tensors of a file so far taught: which lines were live and how much they held, and the coder's memory."""

from functools import cached_property

import numpy as np

from espalier.coding import mixing
from espalier.coding.mixing import Memory

_EDGES = np.array([2, 3, 4, 6, 7, 9, 11, 14, 18, 24, 36])
"""Of what a line holds, in eighths of the mean of the live ones."""
_RECENT = 3


class EarlierTensors:
    """Lines (rows and channels) of the tensors before, by how many a tensor had: layers in a row share them."""

    def __init__(self) -> None:
        self.spent = np.zeros(2)
        """bits that zeroness and values of the tensor took that was coded last by mixing"""
        self._live: dict[int, list[np.ndarray]] = {}
        self._held: dict[int, np.ndarray] = {}

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
            self._held[len(held)] = found.astype(np.int64)

    def live(self, length: int) -> np.ndarray:
        """For each line, int64, in which of the three latest tensors with so many lines it was live: 1, 2 and 4."""
        found = np.zeros(length, np.int64)
        for place, live in enumerate(self._live.get(length, ())):
            found |= live.astype(np.int64) << place
        return found

    def held(self, length: int) -> np.ndarray:
        """For each line, int64, what it held in the latest tensor with so many lines, from 0 to 12."""
        return self._held.get(length, np.zeros(length, np.int64))
