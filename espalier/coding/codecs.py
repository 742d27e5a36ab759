"""The two ways to code a tensor of levels, and the choice of the smaller."""

import zlib
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from espalier.coding import contexts, dense
from espalier.coding.contexts import Settings
from espalier.coding.entropy import entropy_bits, value_bits, zeroness_bits
from espalier.coding.flags import Flags
from espalier.errors import Damaged

CODECS = ("dense", "range")
"""In the order of their numbers in a file."""
_CONTEXTS, _PLAIN = (2, 2, 1), (0, 0, 0)
"""Settings of the range coder that are tried: rows, columns and neighbours, or none of them."""


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


def encode(levels: np.ndarray, flags: Flags, allowed: Collection[str] = CODECS) -> Coded:
    """The shortest stream of those allowed; `dense` is always there to fall back on. Levels around 0, of any shape."""
    low, high = (int(levels.min()), int(levels.max())) if levels.size else (0, 0)
    inner = np.asarray(levels, np.int32).reshape(matrix(levels.shape))
    # Nothing but zeros takes no byte when dense.
    found = _range_coded(inner, flags) if "range" in allowed and inner.any() else []
    if all(dense.size(levels.size, low, high) <= len(stream) for _, stream in found):
        coded = Coded("dense", low, high, (), dense.encode(inner, low, high))
    else:
        settings, stream = min(found, key=lambda one: len(one[1]))
        coded = Coded("range", low, high, tuple(settings), stream)
    flags.add(inner)
    return coded


def decode(coded: Coded, shape: tuple[int, ...], flags: Flags) -> np.ndarray:
    """The levels, int32, exactly.

    Raises:
        Damaged: stream, settings and shape cannot belong together.
    """
    inner, (codec, low, high, settings, stream) = matrix(shape), coded
    count = inner[0] * inner[1] * inner[2]
    if not -(1 << 17) < low <= high < 1 << 17:
        raise Damaged(f"levels from {low} to {high}")
    if len(settings) != (len(Settings._fields) if codec == "range" else 0):
        raise Damaged(f"{len(settings)} settings for the codec {codec}")
    if codec == "dense":
        found = dense.decode(stream, count, low, high)
    elif count:
        found = contexts.decode(stream, inner, Settings(*settings), flags)
    else:
        raise Damaged("an empty tensor is range coded")
    found = found.reshape(inner).astype(np.int32, copy=False)
    if found.size and (int(found.min()) < low or int(found.max()) > high):
        raise Damaged(f"levels beyond {low} to {high}")
    flags.add(found)
    return found.reshape(shape)


def checksum(levels: np.ndarray) -> int:
    """CRC-32 of the shape, since levels may fit another one as well, and of the levels as little-endian int32."""
    shape = zlib.crc32(np.array(levels.shape, "<i8").tobytes())
    return zlib.crc32(np.ascontiguousarray(levels, "<i4").reshape(-1).data, shape)


def _range_coded(inner: np.ndarray, flags: Flags) -> list[tuple[Settings, bytes]]:
    found = [contexts.encode(inner, flags, _CONTEXTS)]
    if _plain_bytes(inner) < len(found[0][1]):
        found.append(contexts.encode(inner, flags, _PLAIN))
    return found


def _plain_bytes(inner: np.ndarray) -> float:
    """Less than the range coder can need without contexts: flags left out, and the rates of all cells for free."""
    live = inner[inner.any((1, 2))][:, inner.any((0, 2))]
    return (zeroness_bits(live) + value_bits(np.abs(live)) + entropy_bits(np.bincount(live[live != 0] > 0))) / 8
