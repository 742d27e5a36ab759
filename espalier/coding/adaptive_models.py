"""Adaptive models of bytes, in integers only: what was counted so far says how likely the next ones are."""

import numpy as np

from espalier.coding.range_coder import Coder

_SYMBOLS = 256


class Choices:
    """An adaptive model of bytes in several contexts: a context's own counts, and those of all contexts as its prior.

    Args:
        worth: number of bytes that the equal weights before any was seen count as
        pooled: number of bytes that the counts of all contexts count as in each of them
    """

    def __init__(self, contexts: int, worth: int, pooled: int) -> None:
        self._prior = (worth << 20) // _SYMBOLS + 1
        self._pooled = pooled
        self._counts = np.zeros((contexts, _SYMBOLS), np.int64)

    def code(self, coder: Coder, contexts: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        """Code symbols of the contexts given for each, and learn them."""
        together = (self._counts.sum(0) << 20) + self._prior
        shared = (together >> 10) * (self._pooled << 10) // (int(together.sum()) >> 10)
        weights = (self._counts << 10) + shared + 1
        found = np.zeros(len(contexts), np.int64)
        # Context by context: a row of probabilities for each symbol would be large.
        for context in np.unique(contexts):
            at = contexts == context
            found[at] = coder.alike(
                weights[context], int(np.count_nonzero(at)), None if symbols is None else symbols[at]
            )
        self._counts += np.bincount(contexts * _SYMBOLS + found, minlength=self._counts.size).reshape(
            self._counts.shape
        )
        return found


def blocks(total: int) -> list[tuple[int, int]]:
    """Intervals that together are `total` symbols: a model learns after each, so the first ones are small."""
    found, start = [], 0
    while start < total:
        size = min(max(64, min(start // 8, total // 64)), 1 << 16)
        found.append((start, min(start + size, total)))
        start += size
    return found
