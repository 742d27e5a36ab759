"""Distance from one value to the next and the values, Huffman coded: the format of Deep Compression.

Distances take 8 bits; a longer one is reached by steps without a value (https://arxiv.org/abs/1510.00149).
"""

import zlib

import numpy as np

from espalier.coding import huffman
from espalier.runs.checkpoint import Damaged

_STEP = 255
"""The symbol that passes over so many zeros and ends at no value."""


def symbols(levels: np.ndarray, low: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances, and values less `low`."""
    flat = levels.reshape(-1)
    places = np.flatnonzero(flat)
    gaps = np.diff(places, prepend=-1) - 1
    steps, rest = np.divmod(gaps, _STEP)
    distances = np.full(int(steps.sum()) + len(places), _STEP, np.int64)
    distances[np.cumsum(steps + 1) - 1] = rest
    return distances, flat[places].astype(np.int64) - low


def encode(levels: np.ndarray, low: int, high: int) -> bytes:
    """Code levels of `low` to `high`.

    Raises:
        ValueError: they are too many different ones for a Huffman code.
    """
    parts = []
    for found, size in zip(symbols(levels, low), (_STEP + 1, high - low + 1), strict=True):
        sizes = huffman.lengths(np.bincount(found, minlength=size))
        table, stream = zlib.compress(sizes.tobytes(), 9), huffman.encode(found, sizes)
        parts += [b"".join(n.to_bytes(4, "little") for n in (len(found), len(table), len(stream))), table, stream]
    return b"".join(parts)


def decode(stream: bytes, count: int, low: int, high: int) -> np.ndarray:
    """`count` levels, int64.

    Raises:
        Damaged: the stream is not that of so many levels.
    """
    distances, stream = _part(stream, _STEP + 1)
    values, stream = _part(stream, high - low + 1)
    ends = distances != _STEP
    places = np.cumsum(distances + ends)[ends] - 1
    if stream or len(places) != len(values) or (len(places) and places[-1] >= count):
        raise Damaged("distances and values do not fit a tensor")
    found = np.zeros(count, np.int64)
    found[places] = values + low
    return found


def index_bytes(stream: bytes) -> int:
    """Bytes of a stream that say where the values are."""
    return 12 + int.from_bytes(stream[4:8], "little") + int.from_bytes(stream[8:12], "little")


def _part(stream: bytes, size: int) -> tuple[np.ndarray, bytes]:
    count, table, length = (int.from_bytes(stream[at : at + 4], "little") for at in (0, 4, 8))
    if len(stream) < 12 + table + length:
        raise Damaged("a Huffman stream is cut short")
    machine = zlib.decompressobj()
    try:
        sizes = machine.decompress(stream[12 : 12 + table], size + 1)
    except zlib.error as error:
        raise Damaged(f"the table of a Huffman code is damaged ({error})") from error
    if len(sizes) != size or not machine.eof or machine.unused_data:
        raise Damaged("the table of a Huffman code has another size")
    found = huffman.decode(stream[12 + table : 12 + table + length], count, np.frombuffer(sizes, np.uint8))
    return found, stream[12 + table + length :]
