"""Every level in as many bits as the interval of levels needs, little-endian."""

import numpy as np

from espalier.errors import Damaged

_CHUNK = 1 << 16


def size(count: int, low: int, high: int) -> int:
    """Bytes that `count` levels of `low` to `high` take."""
    return (count * (high - low).bit_length() + 7) // 8


def encode(levels: np.ndarray, low: int, high: int) -> bytes:
    """Pack integers of `low` to `high`, of any shape."""
    values, places = levels.reshape(-1).astype(np.int64) - low, np.arange((high - low).bit_length())
    chunks = (values[start : start + _CHUNK, None] >> places & 1 for start in range(0, len(values), _CHUNK))
    return b"".join(np.packbits(chunk.astype(np.uint8).reshape(-1), bitorder="little").tobytes() for chunk in chunks)


def decode(stream: bytes, count: int, low: int, high: int) -> np.ndarray:
    """`count` levels, int64.

    Raises:
        Damaged: the stream has another length.
    """
    width = (high - low).bit_length()
    if len(stream) != size(count, low, high):
        raise Damaged(f"{len(stream)} bytes for {count} values of {width} bits")
    found = np.full(count, low, np.int64)
    packed = np.frombuffer(stream, np.uint8)
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        chunk = packed[start * width // 8 : (stop * width + 7) // 8]
        bits = np.unpackbits(chunk, count=(stop - start) * width, bitorder="little").reshape(stop - start, width)
        found[start:stop] += bits.astype(np.int64) @ (1 << np.arange(width, dtype=np.int64))
    return found
