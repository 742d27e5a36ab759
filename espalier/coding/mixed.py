"""Sparse levels, each bit by mixed predictions: rows and channels that are all zero, then each cell of the others."""

import math
from typing import NamedTuple

import numpy as np

from espalier.coding import mixing
from espalier.coding.earlier_tensors import EarlierTensors
from espalier.coding.mixing import Memory
from espalier.coding.range_coder import SYMBOLS_PER_BYTE
from espalier.errors import Damaged

_NEIGHBOURS = ((-1, 0), (0, -1), (-1, -1), (1, -1))
"""Steps to the right and down from a place of an image to those beside it that are coded before."""
_LIFT = 1.25
"""How much more often than by chance cells above each other are not zero, from where on a width is tried."""
_FINE, _SPAN = 4, 16
"""An interval of magnitudes is at most one part in so many of its start, and of the span of all magnitudes."""


class Settings(NamedTuple):
    """What the encoder measured, and the decoder is told."""

    least: int
    """least magnitude that is not zero"""
    greatest: int
    spread: int
    """bits of the mean square of the cells of live rows and channels"""
    width: int
    """channels from a place of an image to the one below, where they are those of flattened square images; or 0"""


def encode(levels: np.ndarray, earlier: EarlierTensors, most: int) -> tuple[Settings, bytes] | None:
    """Code an integer tensor of rows, channels, taps that is not all zero, and learn it for those that follow.

    Above `most` bytes there is None, and nothing is learned.
    """
    live = levels.any(2)
    cells = levels[live.any(1)][:, live.any(0)].astype(np.int64)
    magnitudes = np.abs(cells[cells != 0])
    spread = int((cells * cells).sum() // cells.size).bit_length()
    before = _copy(earlier.memory)
    best, learned, spent = None, before, earlier.spent
    for width in (0, *_widths(levels)):
        _restore(earlier.memory, before)
        settings = Settings(int(magnitudes.min()), int(magnitudes.max()), spread, width)
        coder, data = mixing.encoder(most)
        _run(coder, data, levels.shape, settings, earlier, levels)
        stream = mixing.finish(coder, data)
        if stream is not None and len(stream) <= most:
            best, most = (settings, stream), len(stream) - 1
            learned, spent = _copy(earlier.memory), earlier.spent
    _restore(earlier.memory, learned)
    earlier.spent = spent
    return best


def decode(stream: bytes, shape: tuple[int, int, int], settings: Settings, earlier: EarlierTensors) -> np.ndarray:
    """The levels, int32.

    Raises:
        Damaged: the settings or the stream cannot be those of such a tensor.
    """
    least, greatest, spread, width = settings
    if not (0 < least <= greatest < 1 << 17 and 0 <= spread < 35 and 0 <= width < 1 << 16):
        raise Damaged(f"magnitudes from {least} to {greatest}, of {spread} bits, and a width of {width}")
    most = (len(stream) + 8) * SYMBOLS_PER_BYTE
    if shape[0] + shape[1] > most:
        raise Damaged("a stream is too short for its shape")
    return _run(*mixing.decoder(stream), shape, settings, earlier, None, most)


def interval_starts(least: int, greatest: int) -> np.ndarray:
    """The first magnitude of every interval, int64, and one more than `greatest`, which is an interval of its own."""
    found = [least]
    while found[-1] < greatest:
        found.append(min(found[-1] + max(1, min(found[-1] // _FINE, (greatest - least) // _SPAN)), greatest))
    return np.array([*found, greatest + 1], np.int64)


def _run(
    coder: np.ndarray,
    data: np.ndarray,
    shape: tuple[int, int, int],
    settings: Settings,
    earlier: EarlierTensors,
    levels: np.ndarray | None,
    most: int | None = None,
) -> np.ndarray:
    memory, lines, costs = earlier.memory, [], np.zeros(2)
    earlier.spent = costs
    for axis in (0, 1):
        given = np.zeros(shape[axis], np.int64) if levels is None else levels.any((1 - axis, 2)).astype(np.int64)
        if axis and shape[1] == 1:
            given[:] = lines[0].any()
        else:
            mixing.code_flags(coder, data, memory, axis, earlier.live_flags(shape[axis]), given, costs)
        lines.append(given > 0)
    rows, channels = lines
    size = int(rows.sum()), int(channels.sum()), shape[2]
    if most is not None and size[0] * size[1] * size[2] > most:
        raise Damaged("a stream is too short for its shape")
    found = np.zeros(shape, np.int32)
    if not all(size):
        return found
    # Lines of the longer axis one after another; along the other is forecast. A single channel is rows and taps.
    held = earlier.magnitude_classes(shape[0])[rows], earlier.magnitude_classes(shape[1])[channels]
    if size[1] == 1:
        kind, tall, orders = int(size[2] > 1), size[0] >= size[2], ((0, 1, 2), (2, 1, 0))
        held = held[0], np.zeros(size[2], np.int64)
    else:
        kind, tall, orders = 2 * int(size[2] > 1), size[0] >= size[1], ((0, 2, 1), (1, 2, 0))
    order, held = (orders[0], held) if tall else (orders[1], held[::-1])
    if levels is None:
        cells = np.zeros([size[axis] for axis in order], np.int32)
    else:
        cells = np.ascontiguousarray(levels[rows][:, channels].transpose(order), np.int32)
    mixing.own(memory)
    intervals = interval_starts(settings.least, settings.greatest)
    image = settings.width and kind == 0 and order == (1, 2, 0)
    neighbours = _neighbours(channels, settings.width) if image else np.zeros((len(cells), 0), np.int64)
    mixing.code_cells(coder, data, memory, kind, cells, *held, intervals, settings.spread, neighbours, costs)
    if levels is None:
        found[np.ix_(rows, channels)] = cells.transpose(np.argsort(order))
    return found


def _widths(levels: np.ndarray) -> list[int]:
    """The image width at which a layer's inputs look most like pixels, as a list; empty where none is worth a try.

    It is the width with the highest share of vertical neighbours that are both not zero, over chance.
    """
    _, channels, taps = levels.shape
    live = levels[:, :, 0] != 0 if taps == 1 else np.zeros((0, 0), bool)
    if live.any(1).sum() >= live.any(0).sum():
        return []
    live, found = live[live.any(1)], (_LIFT, 0)
    counts = live.sum(0)
    for width in range(2, math.isqrt(channels) + 1):
        if channels % (width * width) == 0:
            # How often both are not zero, and how often they would be if channels knew nothing of each other.
            both = np.count_nonzero(live[:, width:] & live[:, :-width])
            chance = float(counts[width:] @ counts[:-width]) / len(live)
            found = max(found, (both / max(chance, 1.0), width))
    return [found[1]] if found[1] else []


def _neighbours(channels: np.ndarray, width: int) -> np.ndarray:
    """Indices of the live neighbours of each live channel, int64 (live channels, neighbours); -1 where there is none.

    Channels are the pixels of an image of this width. Neighbours are left, above, above left and above right.
    """
    live = np.flatnonzero(channels)
    number = np.full(len(channels), -1, np.int64)
    number[live] = np.arange(len(live))
    x, y = live % width, live // width % width
    found = np.full((len(live), len(_NEIGHBOURS)), -1, np.int64)
    for place, (right, down) in enumerate(_NEIGHBOURS):
        inside = (x + right >= 0) & (x + right < width) & (y + down >= 0)
        found[inside, place] = number[live[inside] + right + down * width]
    return found


def _copy(memory: Memory) -> Memory:
    return Memory(*(each.copy() for each in memory))


def _restore(memory: Memory, before: Memory) -> None:
    for one, old in zip(memory, before, strict=True):
        one[:] = old
