"""Every level in as many bits as the interval of levels needs."""

import numpy as np

from espalier.coding.bits import pack, unpack


def encode(levels: np.ndarray, low: int, high: int) -> bytes:
    """Pack levels of `low` to `high`."""
    return pack(levels.reshape(-1).astype(np.int64) - low, (high - low).bit_length())


def decode(stream: bytes, count: int, low: int, high: int) -> np.ndarray:
    """`count` levels, int64."""
    return unpack(stream, count, (high - low).bit_length()) + low
