"""Adaptive models of integers only: what was counted so far says how likely the next symbols are."""

import numpy as np

from espalier.coding.range_coder import Coder

_MANY = 64
"""Symbols from which on those of one context are coded together: a row of probabilities each would be large."""


class Choices:
    """An adaptive model of symbols in several contexts: a context's own counts, and those of all contexts as its prior.

    Args:
        prior: weight of each symbol before any was seen, int64
        worth: number of symbols that the prior counts as
        pooled: number of symbols that the counts of all contexts count as in each of them
    """

    def __init__(self, prior: np.ndarray, contexts: int, worth: int, pooled: int) -> None:
        self._prior = (prior << 20) * worth // max(int(prior.sum()), 1) + 1
        self._pooled = pooled
        self._counts = np.zeros((contexts, len(prior)), np.int64)

    def code(self, coder: Coder, contexts: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        """Code symbols of the contexts given for each, and learn them."""
        together = (self._counts.sum(0) << 20) + self._prior
        shared = (together >> 10) * (self._pooled << 10) // max(int(together.sum()) >> 10, 1)
        weights = (self._counts << 10) + shared + 1
        width = self._counts.shape[1]
        if width < _MANY:
            found = coder.choices(weights[contexts], symbols)
        else:
            found = np.zeros(len(contexts), np.int64)
            for context in np.unique(contexts):
                at = contexts == context
                found[at] = coder.alike(
                    weights[context], int(np.count_nonzero(at)), None if symbols is None else symbols[at]
                )
        self._counts += np.bincount(contexts * width + found, minlength=self._counts.size).reshape(self._counts.shape)
        return found


def blocks(total: int, first: int = 16, growth: int = 8, parts: int = 64, most: int = 1 << 16) -> list[tuple[int, int]]:
    """Intervals that together are `total` symbols: a model learns after each, so the first ones are small.

    Args:
        growth: a block is at most one part in so many of what precedes it
        parts: and of the whole
    """
    found, start = [], 0
    while start < total:
        size = min(max(first, min(start // growth, total // parts)), most)
        found.append((start, min(start + size, total)))
        start += size
    return found
