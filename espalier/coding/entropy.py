"""Order-0 entropies: what levels cost when each is drawn for itself from the rates of its own tensor."""

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
