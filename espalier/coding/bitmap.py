"""One bit a cell for its zeroness, then the values that are not zero; both through LZMA. Needs Python alone."""

import numpy as np

from espalier.coding.xz import compress, decompress
from espalier.runs.checkpoint import Damaged

_VALUE = np.dtype("<i4")


def _width(low: int, high: int) -> int:
    return 1 if low >= -128 and high < 128 else 2 if low >= -(1 << 15) and high < 1 << 15 else 4


def encode(levels: np.ndarray, low: int, high: int) -> bytes:
    """Code levels of `low` to `high`."""
    flat = levels.reshape(-1)
    kept = flat != 0
    planes = flat[kept].astype(_VALUE).view(np.uint8).reshape(-1, 4)[:, : _width(low, high)]
    return compress(np.packbits(kept).tobytes() + planes.T.tobytes())


def decode(stream: bytes, count: int, low: int, high: int) -> np.ndarray:
    """`count` levels, int32.

    Raises:
        Damaged: the stream is not that of so many levels.
    """
    width, map_bytes = _width(low, high), (count + 7) // 8
    data = decompress(stream, map_bytes + count * width)
    if len(data) < map_bytes:
        raise Damaged("a bitmap is cut short")
    kept = np.unpackbits(np.frombuffer(data, np.uint8, map_bytes), count=count).astype(bool)
    values = int(np.count_nonzero(kept))
    if len(data) != map_bytes + values * width:
        raise Damaged(f"a bitmap of {values} values has {len(data) - map_bytes} bytes of them")
    planes = np.frombuffer(data, np.uint8, offset=map_bytes).reshape(width, values)
    words = np.zeros((values, 4), np.uint8)
    words[:, :width] = planes.T
    if width < 4:
        words[:, width:] = np.where(words[:, width - 1 : width] > 127, 255, 0)
    found = np.zeros(count, np.int32)
    found[kept] = words.view(_VALUE).reshape(-1)
    return found
