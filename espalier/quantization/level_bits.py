"""Estimated cost in bits of every level in a coded file, from the levels of its own tensor."""

from typing import NamedTuple

import numpy as np

_STRENGTH = 8
"""Cells that the whole tensor counts for in the rate of a row or column."""
_LEAST = 2.0**-12
_SPREAD = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9
"""A magnitude that occurs tells of those beside it too."""
_UNSEEN = 0.05


class Bits(NamedTuple):
    """Bits of a cell: `zero` where its level is 0, else `other` and those of its magnitude and sign."""

    zero: np.ndarray
    """float64 (rows, columns)"""
    other: np.ndarray
    """float64 (rows, columns)"""
    magnitude: np.ndarray
    """float64 (greatest magnitude + 1,); the entry of 0 is 0"""


def level_bits(levels: np.ndarray, greatest: int) -> Bits:
    """Estimated bits of every possible level at every place of a tensor.

    It is the coder's model with all counts known in advance: whether a level is zero depends on the odds of its row and
    column, a magnitude on its frequency in the tensor, and a sign costs one bit.

    Args:
        levels: integers (rows, columns)
        greatest: the greatest magnitude that a level may have
    """
    live = levels != 0
    whole = (live.sum() + 0.5) / (live.size + 1)
    row, column = (
        (live.sum(axis, keepdims=True) + _STRENGTH * whole) / (live.shape[axis] + _STRENGTH) for axis in (1, 0)
    )
    odds = (row / (1 - row)) * (column / (1 - column)) * ((1 - whole) / whole)
    rate = np.clip(odds / (1 + odds), _LEAST, 1 - _LEAST)
    seen = np.bincount(np.abs(levels[live]), minlength=greatest + 1)[1:].astype(np.float64)
    near = np.convolve(np.pad(seen, 2, mode="edge"), _SPREAD, mode="valid") + _UNSEEN
    magnitude = np.concatenate([[0.0], 1 - np.log2(near / near.sum())])
    return Bits(-np.log2(1 - rate), -np.log2(rate), magnitude)
