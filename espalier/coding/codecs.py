"""The two ways to code a tensor of levels, and the choice of the smaller."""

import zlib
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from espalier.coding import dense, mixed
from espalier.coding.earlier_tensors import EarlierTensors
from espalier.coding.mixed import Settings
from espalier.errors import Damaged

CODECS = ("dense", "mixed")
"""In the order of their numbers in a file."""


class Coded(NamedTuple):
    """A tensor as bytes, and what is needed beside its shape to read them."""

    codec: str
    low: int
    high: int
    settings: tuple[int, ...]
    stream: bytes


def matrix(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Rows, channels and taps of a weight's shape; a vector is one row."""
    if len(shape) < 2:
        return 1, int(np.prod(shape, dtype=object)), 1
    return shape[0], shape[1], int(np.prod(shape[2:], dtype=object))


def encode(levels: np.ndarray, earlier: EarlierTensors, allowed: Collection[str] = CODECS) -> Coded:
    """The shortest stream of those allowed; `dense` is always there to fall back on. Levels around 0, of any shape."""
    low, high = (int(levels.min()), int(levels.max())) if levels.size else (0, 0)
    inner = np.asarray(levels, np.int32).reshape(matrix(levels.shape))
    size = dense.size(levels.size, low, high)
    # A tensor of zeros takes no bytes in the dense coding.
    found = mixed.encode(inner, earlier, size - 1) if "mixed" in allowed and size and inner.any() else None
    if found is None:
        coded = Coded("dense", low, high, (), dense.encode(inner, low, high))
    else:
        coded = Coded("mixed", low, high, tuple(found[0]), found[1])
    earlier.add(inner)
    return coded


def decode(coded: Coded, shape: tuple[int, ...], earlier: EarlierTensors) -> np.ndarray:
    """The levels, int32, exactly.

    Raises:
        Damaged: stream, settings and shape cannot belong together.
    """
    inner, (codec, low, high, settings, stream) = matrix(shape), coded
    count = inner[0] * inner[1] * inner[2]
    if not -(1 << 17) < low <= high < 1 << 17:
        raise Damaged(f"levels from {low} to {high}")
    if len(settings) != (len(Settings._fields) if codec == "mixed" else 0):
        raise Damaged(f"{len(settings)} settings for the codec {codec}")
    if codec == "dense":
        found = dense.decode(stream, count, low, high)
    elif count:
        found = mixed.decode(stream, inner, Settings(*settings), earlier)
    else:
        raise Damaged("an empty tensor is coded by mixing")
    found = found.reshape(inner).astype(np.int32, copy=False)
    if found.size and (int(found.min()) < low or int(found.max()) > high):
        raise Damaged(f"levels beyond {low} to {high}")
    earlier.add(found)
    return found.reshape(shape)


def checksum(levels: np.ndarray) -> int:
    """CRC-32 of the shape, since levels may fit another one as well, and of the levels as little-endian int32."""
    shape = zlib.crc32(np.array(levels.shape, "<i8").tobytes())
    return zlib.crc32(np.ascontiguousarray(levels, "<i4").reshape(-1).data, shape)
