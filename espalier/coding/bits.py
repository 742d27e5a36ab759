"""Unsigned integers packed to a fixed number of bits each, little-endian."""

import numpy as np

from espalier.runs.checkpoint import Damaged

_CHUNK = 1 << 16


def packed_bytes(count: int, width: int) -> int:
    """Bytes that `count` integers of `width` bits take."""
    return (count * width + 7) // 8


def pack(values: np.ndarray, width: int) -> bytes:
    """Pack values of 0 to 2^width - 1; none of them is looked at when the width is 0."""
    places = np.arange(width)
    chunks = (values[start : start + _CHUNK, None] >> places & 1 for start in range(0, len(values), _CHUNK))
    return b"".join(np.packbits(chunk.astype(np.uint8).reshape(-1), bitorder="little").tobytes() for chunk in chunks)


def unpack(stream: bytes, count: int, width: int) -> np.ndarray:
    """`count` values, int64.

    Raises:
        Damaged: the stream has another length.
    """
    if len(stream) != packed_bytes(count, width):
        raise Damaged(f"{len(stream)} bytes for {count} values of {width} bits")
    found = np.zeros(count, np.int64)
    packed = np.frombuffer(stream, np.uint8)
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        chunk = packed[start * width // 8 : packed_bytes(stop, width)]
        bits = np.unpackbits(chunk, count=(stop - start) * width, bitorder="little").reshape(stop - start, width)
        found[start:stop] = bits.astype(np.int64) @ (1 << np.arange(width, dtype=np.int64))
    return found
