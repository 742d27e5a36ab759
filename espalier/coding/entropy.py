"""Entropies of levels: each for itself, from the rates of its own tensor, or of its row and its column."""

import numpy as np


def entropy_bits(counts: np.ndarray) -> float:
    """Bits of all symbols together, from how often each occurs."""
    counts = counts[counts > 0]
    return float(-(counts * np.log2(counts / counts.sum())).sum()) if counts.size else 0.0


def zeroness_bits(levels: np.ndarray) -> float:
    """Bits of which levels are zero."""
    nonzeros = int(np.count_nonzero(levels))
    return entropy_bits(np.array([levels.size - nonzeros, nonzeros]))


def value_bits(levels: np.ndarray) -> float:
    """Bits of the levels that are not zero, signs and all."""
    values = levels[levels != 0].astype(np.int64)
    return entropy_bits(np.bincount(values - values.min())) if values.size else 0.0


def bound_bytes(levels: np.ndarray) -> float:
    """Bytes of a tensor's zeroness and of its values that are not zero; no rate, shape or scale is counted."""
    return (zeroness_bits(levels) + value_bits(levels)) / 8


def conditional_bytes(levels: np.ndarray) -> float:
    """Conditional entropy of a tensor in bytes: of which levels are zero, and of the others' values.

    Rows are the first dimension, columns all places in the others. For zeroness, rows and columns have one of 19
    classes each: the odds of a nonzero level, rounded to a power of 2 from 2^-8 to 2^8, or all zero, or none zero. For
    values they have one of two: mean magnitude above that of the tensor, or not. The entropy is conditioned on the pair
    of classes of a cell. Classes and rates cost nothing here, and a coder with more context may need fewer bytes: this
    is a mark to compare with, not a bound.
    """
    if not levels.size:
        return 0.0
    matrix = np.abs(levels.reshape(levels.shape[0] if levels.ndim > 1 else 1, -1).astype(np.int64))
    live, bits = matrix != 0, 0.0
    mean = matrix.sum() / max(int(live.sum()), 1)
    odds, large = [], []
    for axis in (1, 0):
        ones, every = live.sum(axis), matrix.shape[axis]
        log = np.log2(np.clip(ones, 0.1, every - 0.1) / np.clip(every - ones, 0.1, every - 0.1))
        found = np.clip(np.rint(log), -8, 8).astype(np.int64) + 9
        odds.append(np.where(ones == 0, 0, np.where(ones == every, 18, found)))
        large.append((matrix.sum(axis) > mean * ones).astype(np.int64))
    pairs = odds[0][:, None] * 19 + odds[1]
    for every, ones in zip(np.bincount(pairs.reshape(-1)), np.bincount(pairs[live], minlength=19 * 19), strict=False):
        bits += entropy_bits(np.array([every - ones, ones]))
    pairs, values = large[0][:, None] * 2 + large[1], levels.reshape(matrix.shape)
    return (bits + sum(value_bits(values[live & (pairs == pair)]) for pair in range(4))) / 8
