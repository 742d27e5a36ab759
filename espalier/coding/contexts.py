"""Sparse levels, range coded: rows and channels that are all zero, then each cell by its row and its column.

The cells are visited in an order that is spread over the whole matrix, so that the rates of all rows and all columns
are learned at once, a block of cells at a time: every step is one numpy operation over a block.
"""

import math
from typing import NamedTuple

import numpy as np

from espalier.coding.adaptive_models import Bits, blocks
from espalier.coding.flags import Flags, code
from espalier.coding.magnitudes import Magnitudes
from espalier.coding.range_coder import SYMBOLS_PER_BYTE, Coder, Decoder, Encoder, Meter
from espalier.errors import Damaged

STRENGTHS = (0, 8, 32)
"""What a file may choose from, for zeroness and for signs."""


class Settings(NamedTuple):
    """What the encoder chose, and the decoder is told."""

    least: int
    """least magnitude that is not zero"""
    greatest: int
    zeros: int
    """index into `STRENGTHS`"""
    signs: int
    magnitudes: int
    """1 where magnitudes have contexts"""
    rows: int
    """0, or how many vectors of this length ago the flags were that the flags of the rows are coded beside"""
    columns: int


def encode(levels: np.ndarray, flags: Flags, models: tuple[int, int, int]) -> tuple[Settings, bytes]:
    """Code an integer tensor of rows, channels, taps that is not all zero.

    Args:
        models: the settings `zeros`, `signs`, `magnitudes`
    """
    magnitudes = np.abs(levels[levels != 0].astype(np.int64))
    live = levels.any(2)
    settings = Settings(
        int(magnitudes.min()),
        int(magnitudes.max()),
        *models,
        flags.beside(live.any(1)),
        flags.beside(live.any(0)),
    )
    coder = Encoder()
    _run(coder, coder, levels.shape, settings, flags, levels.astype(np.int64))
    return settings, coder.finish()


def spent(levels: np.ndarray, settings: Settings, flags: Flags) -> tuple[float, float]:
    """Bits that a coded tensor's zeroness and its values took."""
    index, value = Meter(), Meter()
    _run(index, value, levels.shape, settings, flags, levels.astype(np.int64))
    return index.spent, value.spent


def decode(stream: bytes, shape: tuple[int, int, int], settings: Settings, flags: Flags) -> np.ndarray:
    """The levels, int32.

    Raises:
        Damaged: the settings or the stream cannot be those of such a tensor.
    """
    least, greatest, zeros, signs, magnitudes = settings[:5]
    if not 0 < least <= greatest < 1 << 17:
        raise Damaged(f"magnitudes from {least} to {greatest}")
    if not (0 <= zeros < len(STRENGTHS) and 0 <= signs < len(STRENGTHS) and magnitudes in (0, 1)):
        raise Damaged(f"no models {zeros}, {signs}, {magnitudes}")
    coder = Decoder(stream)
    return _run(coder, coder, shape, settings, flags, None, (len(stream) + 8) * SYMBOLS_PER_BYTE)


def _run(
    coder: Coder,
    values: Coder,
    shape: tuple[int, int, int],
    settings: Settings,
    flags: Flags,
    levels: np.ndarray | None,
    most: int | None = None,
) -> np.ndarray:
    if most is not None and shape[0] + shape[1] > most:
        raise Damaged("a stream is too short for its shape")
    live = (None, None) if levels is None else (levels.any((1, 2)), levels.any((0, 2)))
    rows = code(coder, flags.get(shape[0], settings.rows), live[0])
    channels = code(coder, flags.get(shape[1], settings.columns), live[1]) if shape[1] > 1 else np.array([rows.any()])
    columns = int(channels.sum()) * shape[2]
    cells = int(rows.sum()) * columns
    if most is not None and cells > most:
        raise Damaged("a stream is too short for its shape")
    inner = None if levels is None else levels[rows][:, channels].reshape(-1)
    found = np.zeros(shape, np.int32)
    if cells:
        coded = _cells(coder, values, int(rows.sum()), columns, settings, inner)
        found[np.ix_(rows, channels)] = coded.reshape(int(rows.sum()), int(channels.sum()), shape[2])
    return found


def _cells(
    coder: Coder, values: Coder, rows: int, columns: int, settings: Settings, levels: np.ndarray | None
) -> np.ndarray:
    zeros = Bits(rows, columns, STRENGTHS[settings.zeros])
    signs = Bits(rows, columns, STRENGTHS[settings.signs])
    magnitudes = Magnitudes(rows, columns, settings.least, settings.greatest, settings.magnitudes)
    cells = rows * columns
    stride = _stride(cells)
    found = np.zeros(cells, np.int32)
    for start, stop in blocks(cells):
        at = np.arange(start, stop) * stride % cells
        i, j = np.divmod(at, columns)
        kept = zeros.code(coder, i, j, None if levels is None else levels[at] != 0)
        at, i, j = at[kept], i[kept], j[kept]
        given = None if levels is None else levels[at]
        negative = signs.code(values, i, j, None if given is None else given < 0)
        size = magnitudes.code(values, i, j, None if given is None else np.abs(given))
        found[at] = np.where(negative, -size, size)
    return found


def _stride(cells: int) -> int:
    stride = max(cells * 610 // 987, 1)
    while math.gcd(stride, cells) > 1:
        stride += 1
    return stride
