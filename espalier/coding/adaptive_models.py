"""Adaptive models of integers only: what was counted so far says how likely the next symbols are."""

import numpy as np

from espalier.coding.range_coder import LEAST, ONE, Coder

_EDGES = np.array(
    sorted(
        {ONE * n * 2**k // (n * 2**k + d) for n, d in ((1, 1), (3, 2)) for k in range(12)}
        | {ONE * d // (n * 2**k + d) for n, d in ((1, 1), (3, 2)) for k in range(12)}
    )
)
_MANY = 64
"""Symbols from which on those of one context are coded together: a row of probabilities each would be large."""
_TRUST = 30
"""Symbols that a combined probability is worth beside what was seen of it."""


class Bits:
    """Bits of a matrix, from the rates of their row and their column.

    The odds of row and column over those of the whole are multiplied, and what came of such a probability before
    corrects it.

    Args:
        strength: bits that the whole counts for in the rate of a row or column; 0 leaves rows and columns out
    """

    def __init__(self, rows: int, columns: int, strength: int) -> None:
        self._strength = strength
        self._lines = [(np.zeros(n, np.int64), np.zeros(n, np.int64)) for n in (rows, columns)] if strength else []
        self._ones = self._all = 0
        self._hits = np.zeros(len(_EDGES) + 1, np.int64)
        self._tries = np.zeros(len(_EDGES) + 1, np.int64)

    def code(self, coder: Coder, i: np.ndarray, j: np.ndarray, bits: np.ndarray | None) -> np.ndarray:
        """Code the bits at rows `i` and columns `j`, and learn them."""
        p = np.full(len(i), _within((self._ones * 2 + 1) * ONE // (self._all * 2 + 2)))
        if self._strength:
            p = self._combined(i, j, int(p[0]) if len(p) else ONE // 2)
            at = np.searchsorted(_EDGES, p)
            p = _within((self._hits[at] * ONE + _TRUST * p) // (self._tries[at] + _TRUST))
            found = coder.bits(p, bits)
            self._tries += np.bincount(at, minlength=len(self._tries))
            self._hits += np.bincount(at[found], minlength=len(self._hits))
            for (ones, seen), at in zip(self._lines, (i, j), strict=True):
                _count(seen, at)
                _count(ones, at[found])
        else:
            found = coder.bits(p, bits)
        self._ones += int(np.count_nonzero(found))
        self._all += len(found)
        return found

    def _combined(self, i: np.ndarray, j: np.ndarray, whole: int) -> np.ndarray:
        over, under = np.int64(ONE - whole), np.int64(whole)
        for (ones, seen), at in zip(self._lines, (i, j), strict=True):
            rate = _within((ones * ONE + self._strength * whole) // (seen + self._strength))[at]
            over, under = over * rate, under * (ONE - rate)
        return _within(over // np.maximum((over + under) >> 16, 1))


class Choices:
    """Symbols of several contexts, from their own counts and those of all contexts together.

    Args:
        prior: a weight of each symbol before any was seen, int64
        worth: symbols that the prior counts for
        pooled: symbols that all contexts together count for in one of them
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


def _within(p: np.ndarray | int) -> np.ndarray:
    # np.clip gives the same and takes twice as long on few numbers, and four times on one.
    return np.minimum(np.maximum(p, LEAST), ONE - LEAST)


def _count(counts: np.ndarray, at: np.ndarray) -> None:
    counts += np.bincount(at, minlength=len(counts))
