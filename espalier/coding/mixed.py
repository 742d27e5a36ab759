"""Sparse levels, each bit by mixed predictions: rows and channels that are all zero, then each cell of the others."""

from typing import NamedTuple

import numpy as np

from espalier.coding import mixing
from espalier.coding.flags import Flags
from espalier.coding.mixing import Memory
from espalier.coding.range_coder import SYMBOLS_PER_BYTE
from espalier.errors import Damaged

_FINE, _SPAN = 4, 16
"""An interval of magnitudes is at most one part in so many of its start, and of the span of all magnitudes."""


class Settings(NamedTuple):
    """What the encoder measured, and the decoder is told."""

    least: int
    """least magnitude that is not zero"""
    greatest: int
    spread: int
    """bits of the mean square of the cells of live rows and channels"""


def encode(levels: np.ndarray, flags: Flags, most: int) -> tuple[Settings, bytes] | None:
    """Code an integer tensor of rows, channels, taps that is not all zero, and learn it for those that follow.

    Above `most` bytes there is None, and nothing is learned.
    """
    live = levels.any(2)
    cells = levels[live.any(1)][:, live.any(0)].astype(np.int64)
    magnitudes = np.abs(cells[cells != 0])
    spread = int((cells * cells).sum() // cells.size).bit_length()
    settings = Settings(int(magnitudes.min()), int(magnitudes.max()), spread)
    before = Memory(*(each.copy() for each in flags.memory))
    coder, data = mixing.encoder(most)
    _run(coder, data, levels.shape, settings, flags, levels)
    stream = mixing.finish(coder, data)
    if stream is None or len(stream) > most:
        _restore(flags.memory, before)
        return None
    return settings, stream


def decode(stream: bytes, shape: tuple[int, int, int], settings: Settings, flags: Flags) -> np.ndarray:
    """The levels, int32.

    Raises:
        Damaged: the settings or the stream cannot be those of such a tensor.
    """
    least, greatest, spread = settings
    if not (0 < least <= greatest < 1 << 17 and 0 <= spread < 35):
        raise Damaged(f"magnitudes from {least} to {greatest}, of {spread} bits")
    most = (len(stream) + 8) * SYMBOLS_PER_BYTE
    if shape[0] + shape[1] > most:
        raise Damaged("a stream is too short for its shape")
    return _run(*mixing.decoder(stream), shape, settings, flags, None, most)


def starts(least: int, greatest: int) -> np.ndarray:
    """Where the intervals of magnitudes start, int64, and one behind the last, which is the greatest alone."""
    found = [least]
    while found[-1] < greatest:
        found.append(min(found[-1] + max(1, min(found[-1] // _FINE, (greatest - least) // _SPAN)), greatest))
    return np.array([*found, greatest + 1], np.int64)


def _run(
    coder: np.ndarray,
    data: np.ndarray,
    shape: tuple[int, int, int],
    settings: Settings,
    flags: Flags,
    levels: np.ndarray | None,
    most: int | None = None,
) -> np.ndarray:
    memory, lines, costs = flags.memory, [], np.zeros(2)
    flags.spent = costs
    for axis in (0, 1):
        given = np.zeros(shape[axis], np.int64) if levels is None else levels.any((1 - axis, 2)).astype(np.int64)
        if axis and shape[1] == 1:
            given[:] = lines[0].any()
        else:
            mixing.code_flags(coder, data, memory, axis, flags.live(shape[axis]), given, costs)
        lines.append(given > 0)
    rows, channels = lines
    size = int(rows.sum()), int(channels.sum()), shape[2]
    if most is not None and size[0] * size[1] * size[2] > most:
        raise Damaged("a stream is too short for its shape")
    found = np.zeros(shape, np.int32)
    if not all(size):
        return found
    # Lines of the longer axis one after another; along the other is forecast. A single channel is rows and taps.
    held = flags.held(shape[0])[rows], flags.held(shape[1])[channels]
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
    intervals = starts(settings.least, settings.greatest)
    mixing.code_cells(coder, data, memory, kind, cells, *held, intervals, settings.spread, costs)
    if levels is None:
        found[np.ix_(rows, channels)] = cells.transpose(np.argsort(order))
    return found


def _restore(memory: Memory, before: Memory) -> None:
    for one, old in zip(memory, before, strict=True):
        one[:] = old
