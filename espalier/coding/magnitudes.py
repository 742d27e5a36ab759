"""Adaptive model of the magnitudes of levels that are not zero."""

import numpy as np

from espalier.coding.adaptive_models import Choices
from espalier.coding.range_coder import Coder

_CONTEXTS = 5
_FINE, _SPAN = 4, 16
"""An interval of magnitudes is at most one part in so many of its start, and of the span of all magnitudes."""


class Magnitudes:
    """Magnitudes from `least` to `greatest`, as intervals that widen, from the mean interval of row and column."""

    _STRENGTH = 8

    def __init__(self, rows: int, columns: int, least: int, greatest: int, contexts: int) -> None:
        starts = [least]
        while starts[-1] < greatest:
            # The greatest magnitude is a symbol of its own: a scale made from it puts one in every channel.
            starts.append(min(starts[-1] + max(1, min(starts[-1] // _FINE, (greatest - least) // _SPAN)), greatest))
        self._starts = np.array(starts, np.int64)
        self._widths = np.diff(self._starts, append=greatest + 1)
        self._symbols = Choices(self._widths, _CONTEXTS if contexts else 1, worth=20, pooled=80)
        self._lines = [(np.zeros(n, np.int64), np.zeros(n, np.int64)) for n in (rows, columns) if contexts]
        self._sum, self._all = 0, 0

    def code(self, coder: Coder, i: np.ndarray, j: np.ndarray, magnitudes: np.ndarray | None) -> np.ndarray:
        """Code the magnitudes at rows `i` and columns `j`, and learn them."""
        symbols = None if magnitudes is None else np.searchsorted(self._starts, magnitudes, "right") - 1
        symbols = self._symbols.code(coder, self._contexts(i, j), symbols)
        starts = self._starts[symbols]
        rest = coder.uniform(self._widths[symbols], None if magnitudes is None else magnitudes - starts)
        for (total, seen), at in zip(self._lines, (i, j), strict=False):
            np.add.at(total, at, symbols)
            np.add.at(seen, at, 1)
        self._sum += int(symbols.sum())
        self._all += len(symbols)
        return starts + rest

    def _contexts(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        if not self._lines:
            return np.zeros(len(i), np.int64)
        mean = (self._sum << 8) // max(self._all, 1)
        deviation = np.zeros(len(i), np.int64)
        for (total, seen), at in zip(self._lines, (i, j), strict=True):
            deviation += ((total[at] << 8) + self._STRENGTH * mean) // (seen[at] + self._STRENGTH) - mean
        span = max(len(self._starts) << 7, 1)
        return np.clip(deviation * _CONTEXTS // span + _CONTEXTS // 2, 0, _CONTEXTS - 1)
