"""The model of levels and its arithmetic coder, bit by bit, compiled: predictions mixed by their log-odds.

As in PAQ (M. Mahoney, Adaptive weighing of context models for lossless data compression, 2005): a context has a
probability that follows its bits; two sets of weights, chosen by contexts too, are moved down the gradient of the
code's length; a last table corrects what comes of it. All of it is in whole numbers.

One prediction is a forecast: within a trained layer, the weights of one output are in part linear in those of the
others. It is the mean of a Gaussian distribution of a line given its cells so far. Its covariance L D L' is that of the
lines before, kept by updates of rank one (P. Gill, G. Golub, W. Murray, M. Saunders, Methods for modifying matrix
factorizations, 1974, method C1). It is the only part in floats; the format says what is asked of them.

All compiled functions stand in this file: numba compiles anew what is in a file that has changed, and nothing else.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from espalier.coding.range_coder import LEAST, ONE

MOST = 2047
"""The greatest log-odds, in units of 1/256."""
_DECAY = 4278222805
"""2^32 times e to the power of -1/256."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function as machine code, kept between processes where there is a folder to write to.

    A product and a sum are never fused, and sums of floats are not put into another order.
    """
    from numba import njit

    try:
        return njit(function, cache=True)
    except RuntimeError:
        return njit(function)


def _tables() -> tuple[np.ndarray, np.ndarray]:
    squash, power = np.zeros(2 * MOST + 1, np.int64), 1 << 32
    for x in range(MOST + 1):
        squash[MOST + x] = (1 << 48) // ((1 << 32) + power)
        squash[MOST - x] = ONE - squash[MOST + x]
        power = power * _DECAY >> 32
    stretch = np.searchsorted(squash[:-1], np.arange(4096) * 16 + 8) - MOST
    return squash, stretch.astype(np.int64)


SQUASH, STRETCH = _tables()
"""The probability of each log-odds from -MOST on; the log-odds of each sixteenth probability."""

MEMORY = 1023
"""Bits that a context's probability is the mean of; older ones fade."""
_EDGES = 33
"""Probabilities of the last table for each of its contexts, 128 units of log-odds apart."""
_WEIGHT = 1 << 22
"""The greatest weight: 64."""
_SHARES = 131072 // (2 * np.arange(MEMORY + 1) + 3)
"""What a bit moves the probability by, of so many before it, times 2^16. A table, since divisions take long."""
LOW, HIGH, POINT, AT, ENCODES, FULL = range(6)
"""Places in the state of the arithmetic coder; the last is 1 where the buffer was too short."""


class Memory(NamedTuple):
    """What is learned, int32 arrays, changed in place."""

    contexts: np.ndarray
    """probability times 2^22 of each context"""
    seen: np.ndarray
    """bits seen in each, to `MEMORY`"""
    weights: np.ndarray
    """of each prediction times 2^16, a row a set"""
    last: np.ndarray
    """the last table: probability times 2^22"""
    last_seen: np.ndarray


def fresh(contexts: int, sets: list[tuple[int, int]], inputs: int, kinds: int) -> Memory:
    """A memory of nothing.

    Args:
        sets: pairs of how many sets of weights, and what each of their weights is at the start, times 2^16
        inputs: predictions of a bit, at most
        kinds: contexts of the last table
    """
    steps = np.clip((np.arange(_EDGES) - 16) * 128, -MOST, MOST)
    weights = np.concatenate([np.full((count, inputs), weight, np.int32) for count, weight in sets])
    return Memory(
        np.full(contexts, 1 << 21, np.int32),
        np.zeros(contexts, np.int32),
        weights,
        np.tile(SQUASH[steps + MOST] << 6, kinds).astype(np.int32),
        np.full(_EDGES * kinds, 6, np.int32),
    )


@compiled
def stretch(p):
    return STRETCH[min(max(p, 0), ONE - 1) >> 4]


@compiled
def code_plain(coder, data, p, bit, costs, part):
    """Code a bit that is 1 with probability `p` / 2^16, and add what it costs to a part of `costs`."""
    span = coder[HIGH] - coder[LOW]
    middle = coder[LOW] + (span >> 16) * p + ((span & 0xFFFF) * p >> 16)
    if not coder[ENCODES]:
        bit = 1 if coder[POINT] <= middle else 0
    if bit:
        coder[HIGH] = middle
    else:
        coder[LOW] = middle + 1
    costs[part] -= np.log2((p if bit else ONE - p) / ONE)
    while (coder[LOW] ^ coder[HIGH]) < 1 << 24:
        at = coder[AT]
        coder[AT] = at + 1
        if not coder[ENCODES]:
            coder[POINT] = (coder[POINT] << 8 & 0xFFFFFFFF) | (data[at] if at < len(data) else 0)
        elif at < len(data):
            data[at] = coder[LOW] >> 24
        else:
            coder[FULL] = 1
        coder[LOW] = coder[LOW] << 8 & 0xFFFFFFFF
        coder[HIGH] = (coder[HIGH] << 8 & 0xFFFFFFFF) | 255
    return bit


@compiled
def _learn(probability, seen, at, bit):
    count = seen[at]
    probability[at] += ((bit << 22) - probability[at]) * _SHARES[count] >> 16
    if count < MEMORY:
        seen[at] = count + 1


@compiled
def code_mixed(coder, data, memory, inputs, given, places, count, first, second, kind, rate, bit, costs, part):
    """Code one bit with the mixed prediction, and update the model by it.

    Args:
        inputs: log-odds of `given` predictions; those of the contexts and a constant are written behind them
        places: indices of its `count` contexts
        first: index of the first set of mixing weights; `second` likewise
        kind: context of the final correction table
        rate: learning rate of the mixing weights

    Returns:
        the bit
    """
    n = given
    for k in range(count):
        inputs[n] = stretch(memory.contexts[places[k]] >> 6)
        n += 1
    inputs[n] = 256
    n += 1
    left, right = memory.weights[first], memory.weights[second]
    one, two = 0, 0
    for k in range(n):
        one += inputs[k] * left[k]
        two += inputs[k] * right[k]
    one = min(max(one >> 16, -MOST), MOST)
    two = min(max(two >> 16, -MOST), MOST)
    both = (one + two) >> 1
    edge = kind * _EDGES + ((both + MOST + 1) >> 7)
    beyond = (both + MOST + 1) & 127
    seen = (memory.last[edge] * (128 - beyond) + memory.last[edge + 1] * beyond) >> 13
    p = min(max((SQUASH[both + MOST] + seen) >> 1, LEAST), ONE - LEAST)
    bit = code_plain(coder, data, p, bit, costs, part)
    one = ((bit << 16) - SQUASH[one + MOST]) * rate
    two = ((bit << 16) - SQUASH[two + MOST]) * rate
    for k in range(n):
        left[k] = min(max(left[k] + ((inputs[k] * one + (1 << 17)) >> 18), -_WEIGHT), _WEIGHT)
    for k in range(n):
        right[k] = min(max(right[k] + ((inputs[k] * two + (1 << 17)) >> 18), -_WEIGHT), _WEIGHT)
    for k in range(count):
        _learn(memory.contexts, memory.seen, places[k], bit)
    _learn(memory.last, memory.last_seen, edge + (beyond >> 6), bit)
    return bit


def encoder(room: int) -> tuple[np.ndarray, np.ndarray]:
    """The state of an arithmetic coder, and a buffer of so many bytes."""
    return np.array([0, 0xFFFFFFFF, 0, 0, 1, 0], np.int64), np.zeros(room, np.uint8)


def decoder(stream: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The same of a reader."""
    point = int.from_bytes(stream[:4].ljust(4, b"\0"), "big")
    return np.array([0, 0xFFFFFFFF, point, 4, 0, 0], np.int64), np.frombuffer(stream, np.uint8).copy()


def finish(coder: np.ndarray, data: np.ndarray) -> bytes | None:
    """The stream, or None where the buffer was too short. Bytes behind the end are 0, and so are left out."""
    if coder[FULL]:
        return None
    low, high, size = int(coder[LOW]), int(coder[HIGH]), int(coder[AT])
    cut = next(cut for cut in range(32, -1, -8) if (low + (1 << cut) - 1) >> cut << cut <= high)
    end = ((low + (1 << cut) - 1) >> cut << cut).to_bytes(4, "big")
    return (data[:size].tobytes() + end).rstrip(b"\0")


SPAN = 256
"""Cells of a line that are forecast from each other."""
_KINDS = 3
"""Pointwise weights, one kernel an output, several kernels."""
_STRENGTH = 8
_PRIOR, _DOUBT = 20.0, 4.0
"""Lines that the covariance at the start counts for, and the variance of the forecast."""

_HALF = np.array([0.03125, 0.125, 0.25, 0.5, 1, 2.25, 4, 9, 16])
_DISTANCES = np.concatenate([-_HALF[::-1], [0], _HALF])
"""Edges of distances from the forecast, squared, in units of the variance."""

# Contexts, by what they are of. A tensor begins those from _OWN to _SHARED anew.
_ZERO, _SIGN, _OWN, _SHARED = 0, 16896, 17312, 19872
_BINS, _HALVES, _FLAGS, _ALL = 19872, 28256, 28672, 28761
_PATTERN = 1536
"""Of the places beside a cell. Those of several taps have the same number in other kinds: this one has one tap."""
# Sets of weights.
_W_ZERO, _W_SIGN, _W_BINS, _W_HALVES, _W_FLAGS, _W_BESIDE = 0, 96, 168, 256, 257, 277


def memory() -> Memory:
    """What is learned, before the first tensor."""
    sets = [(168, 13107), (88, 9830), (1, 26214), (20, 13107), (5, 8000), (5, 20000)]
    return fresh(_ALL, sets, 16, 2 * _KINDS + 3)


def own(memory: Memory) -> None:
    """Forget what was learned of one tensor alone."""
    memory.contexts[_OWN:_SHARED] = 1 << 21
    memory.seen[_OWN:_SHARED] = 0


@compiled
def _place(p):
    """Which of 16 intervals of log-odds a probability lies in."""
    return min(max((stretch(p) + 1088) >> 7, 0), 15)


@compiled
def _bits(number):
    found = 0
    while number > 0:
        found += 1
        number >>= 1
    return found


@compiled
def _ratio(a, b):
    """Which of 16 intervals a / b lies in: the seventh edge is next to 1."""
    ratio, edge, found = (a << 8) // max(b, 1), 64, 0
    while found < 15 and ratio > edge:
        edge = edge * 19 >> 4
        found += 1
    return found


@compiled
def _distance(d, variance):
    """Which of 20 intervals a distance lies in, in units of the standard deviation."""
    square, found = d * abs(d), 0
    while found < len(_DISTANCES) and square > _DISTANCES[found] * variance:
        found += 1
    return found


@compiled
def code_flags(coder, data, memory, axis, before, flags, costs):
    """Code which lines are live.

    Args:
        axis: 0 of rows, 1 of channels
        before: int64 (lines,), in which of the three latest tensors with so many lines each was live: 1, 2 and 4
        flags: int64 (lines,), read or written
    """
    inputs, places = np.zeros(16, np.int64), np.zeros(16, np.int64)
    memory.contexts[_FLAGS : _FLAGS + 9] = 1 << 21
    memory.seen[_FLAGS : _FLAGS + 9] = 0
    latest = 0
    for k in range(len(flags)):
        places[0] = _FLAGS + before[k]
        places[1] = _FLAGS + 8
        places[2] = _FLAGS + 9 + axis * 8 + before[k]
        places[3] = _FLAGS + 25 + axis * 32 + before[k] * 4 + latest
        flags[k] = code_mixed(
            coder, data, memory, inputs, 0, places, 4, _W_FLAGS + axis * 8 + before[k], _W_FLAGS + 16 + latest,
            2 * _KINDS + 2, 4, flags[k], costs, 0,
        )  # fmt: skip
        latest = latest << 1 & 3 | flags[k]


@compiled
def code_cells(coder, data, memory, kind, levels, outer_before, inner_before, starts, spread, beside, costs):
    """Code all levels of a tensor; False where the buffer was too short.

    Args:
        kind: 0 to 2
        levels: int32 (outer lines, taps, inner lines), read by the encoder or written by the decoder
        outer_before: for each outer line its magnitude class in an earlier tensor, 0 to 15; `inner_before` likewise
        starts: int64, the first magnitude of every interval, and one more than the greatest magnitude
        beside: int64 (outer lines, neighbours), indices of the earlier outer lines beside each in an image, or -1; for
            kind 0 only
    """
    outer, taps, inner = levels.shape
    flat = beside.shape[1] > 0
    intervals = len(starts) - 1
    least, width = starts[0], starts[intervals] - 1 - starts[0]
    inputs, places = np.zeros(16, np.int64), np.zeros(16, np.int64)
    # Of each inner line: live cells, all, negative ones, magnitudes, the latest bits and magnitude.
    ones_at, all_at, negative_at = np.zeros(inner, np.int64), np.zeros(inner, np.int64), np.zeros(inner, np.int64)
    sum_at, bits_at, latest_at = np.zeros(inner, np.int64), np.zeros(inner, np.int64), np.zeros(inner, np.int64)
    tap_ones, tap_sign = np.zeros(inner, np.int64), np.zeros(inner, np.int64)
    excess, reached = np.zeros(intervals, np.int64), np.zeros(intervals, np.int64)
    ones, cells, negatives, total, lines = 0, 0, 0, 0, 0
    factor = np.zeros((inner, min(inner, SPAN)))
    diagonal = np.full(inner, _PRIOR * float(1 << spread))
    ones_of = np.zeros(outer, np.int64)
    # The forecast of each cell of the line, and the squares of its errors so far.
    forecast, squares = np.zeros(inner), np.full(inner, _DOUBT * float(1 << spread))
    for i in range(outer):
        line_ones, line_all, line_negative, line_sum, line_bits, line_latest = 0, 0, 0, 0, 0, 0
        tap_ones[:] = 0
        tap_sign[:] = 0
        row = _bits(i)
        beside_ones, beside_all = 0, 0
        for line in beside[i]:
            if line >= 0:
                beside_ones += ones_of[line]
                beside_all += inner
        for tap in range(taps):
            forecast[:] = 0.0
            weight = lines + _DOUBT
            lines += 1
            for j in range(inner):
                whole = (ones * 2 + 1 << 16) // (cells * 2 + 2)
                if flat:
                    p = ((beside_ones << 16) + _STRENGTH * whole) // (beside_all + _STRENGTH)
                    p = ((line_ones << 16) + 2 * _STRENGTH * p) // (line_all + 2 * _STRENGTH)
                else:
                    p = ((line_ones << 16) + _STRENGTH * whole) // (line_all + _STRENGTH)
                q = ((ones_at[j] << 16) + _STRENGTH * whole) // (all_at[j] + _STRENGTH)
                expected, variance = forecast[j], squares[j] / weight
                in_line, in_column = _place(p), _place(q)
                mean = (total << 8) // max(ones, 1)
                inputs[0], inputs[1], inputs[2] = stretch(p), stretch(q), stretch(whole)
                base = _ZERO + kind * 5632
                places[0] = base + in_line * 16 + in_column
                places[1] = base + 256 + in_line * 16 + (line_bits & 15)
                places[2] = base + 512 + in_column * 8 + (bits_at[j] & 7)
                places[3] = base + 768 + outer_before[i] * 16 + inner_before[j]
                places[4] = base + 1024 + (_distance(abs(expected), variance) - 9) * 16 + in_column
                places[5] = base + 1280
                places[5] += _ratio(((line_sum << 8) + 4 * mean) // (line_ones + 4), mean) * 16
                places[5] += _ratio(((sum_at[j] << 8) + 4 * mean) // (ones_at[j] + 4), mean)
                near, signs, balance, pattern, first_set = 0, 0, 0, 0, kind * 16 + min(row, 15)
                if flat:
                    for k in range(beside.shape[1]):
                        value = levels[beside[i, k], 0, j] if beside[i, k] >= 0 else 0
                        if value != 0:
                            near += 1
                            pattern |= 1 << k
                            signs |= (2 if value < 0 else 1) << 2 * k
                            balance += -1 if value < 0 else 1
                    places[6] = _PATTERN + pattern * 16 + in_column
                    first_set = _W_BESIDE + near
                else:
                    places[6] = base + 1536 + (min(tap, 15) * 16 + min(tap_ones[j], 15)) * 16 + in_column
                given = levels[i, tap, j]
                bit = code_mixed(
                    coder, data, memory, inputs, 3, places, 7 if flat or taps > 1 else 6, _W_ZERO + first_set,
                    _W_ZERO + 48 + kind * 16 + in_line, kind, 5, 1 if given != 0 else 0, costs, 0,
                )  # fmt: skip
                cells += 1
                line_all += 1
                all_at[j] += 1
                ones += bit
                line_ones += bit
                ones_at[j] += bit
                tap_ones[j] += bit
                line_bits = line_bits << 1 & 15 | bit
                bits_at[j] = bits_at[j] << 1 & 7 | bit
                value = 0
                if bit:
                    # The sign: the odds are those of two Gaussians, of the mean magnitude to either side.
                    p = ((line_negative << 16) + (_STRENGTH << 15)) // (line_ones - 1 + _STRENGTH)
                    q = ((negative_at[j] << 16) + (_STRENGTH << 15)) // (ones_at[j] - 1 + _STRENGTH)
                    typical = total / (ones - 1) if ones > 1 else least + width / 4
                    odds = min(max(-512.0 * expected * typical / variance, -2047.0), 2047.0)
                    inputs[0], inputs[1] = stretch(p), stretch(q)
                    inputs[2] = stretch(((negatives << 16) + (_STRENGTH << 15)) // (ones - 1 + _STRENGTH))
                    inputs[3] = int(odds)
                    away = _distance(-expected, variance)
                    places[0] = _SIGN + _place(p) * 16 + _place(q)
                    places[1] = _SIGN + 256 + kind * 32 + away
                    places[2] = _SIGN + 352 + min(tap, 15) * 4 + tap_sign[j]
                    places[3] = _PATTERN + 256 + signs
                    places[4] = _PATTERN + 516 + balance
                    negative = code_mixed(
                        coder, data, memory, inputs, 4, places, 5 if flat else 3,
                        _W_BESIDE + 5 + near if flat else _W_SIGN + kind * 16 + min(row, 15),
                        _W_SIGN + 48 + away, _KINDS + kind, 6, 1 if given < 0 else 0, costs, 1,
                    )  # fmt: skip
                    towards = -expected if negative else expected
                    # The magnitude: is it in this interval, or beyond?
                    mean = ((total - least * (ones - 1) << 8) + 2 * (width << 8) // 3) // (ones + 1) + 64
                    a = ((line_sum - least * (line_ones - 1) << 8) + 6 * mean) // (line_ones + 5) + 64
                    b = ((sum_at[j] - least * (ones_at[j] - 1) << 8) + 6 * mean) // (ones_at[j] + 5) + 64
                    combined = min(a * b // mean, 1 << 25)
                    of_line, of_column, of_both = _ratio(a, mean), _ratio(b, mean), _ratio(combined, mean)
                    before, above = _ratio(line_latest << 8, mean), _ratio(latest_at[j] << 8, mean)
                    bound = abs(given)
                    k = 0
                    while k < intervals - 1:
                        end = starts[k + 1]
                        size = end - starts[k] << 8
                        further = ((excess[k] << 8) + 4 * mean) // (reached[k] + 4) + 32
                        inputs[0] = stretch((size << 16) // (size + further))
                        inputs[1] = stretch((size << 16) // (size + further * combined // mean))
                        away = _distance((starts[k] + end - 1) * 0.5 - towards, variance)
                        relative = _ratio(starts[k] - least + 1 << 8, mean)
                        places[0] = _OWN + k * 40
                        places[1] = _OWN + k * 40 + 1 + of_line
                        places[2] = _OWN + k * 40 + 17 + of_column
                        places[3] = _BINS + (kind * 16 + relative) * 16 + of_both
                        places[4] = _BINS + 768 + k * 16 + before
                        places[5] = _BINS + 1792
                        places[5] += ((_distance(float(end - starts[k]), variance) - 9) * 20 + away) * 16 + relative
                        places[6] = _BINS + 5312 + k * 32 + away
                        places[7] = _BINS + 7360 + k * 16 + above
                        stop = code_mixed(
                            coder, data, memory, inputs, 2, places, 8, _W_BINS + k, _W_BINS + 64 + away,
                            2 * _KINDS, 2, 1 if bound < end else 0, costs, 1,
                        )  # fmt: skip
                        if stop:
                            break
                        k += 1
                    low, high, node = starts[k], starts[k + 1], 1
                    while high - low > 1:
                        middle = low + high >> 1
                        p = (high - middle << 16) // (high - low)
                        up = 1 if bound >= middle else 0
                        if node < 4:
                            inputs[0] = stretch(p)
                            places[0] = _HALVES + k * 4 + node
                            places[1] = _HALVES + 256 + _distance(middle - 0.5 - towards, variance) * 8
                            places[1] += min(high - low, 7)
                            up = code_mixed(
                                coder, data, memory, inputs, 1, places, 2, _W_HALVES, _W_HALVES, 2 * _KINDS + 1, 2, up,
                                costs, 1,
                            )  # fmt: skip
                        else:
                            up = code_plain(coder, data, p, up, costs, 1)
                        if up:
                            low = middle
                        else:
                            high = middle
                        node = node * 2 + up
                    size = low
                    for tried in range(min(k + 1, intervals - 1)):
                        excess[tried] += size - starts[tried]
                        reached[tried] += 1
                    value = -size if negative else size
                    levels[i, tap, j] = value
                    negatives += negative
                    line_negative += negative
                    negative_at[j] += negative
                    total += size
                    line_sum += size
                    sum_at[j] += size
                    line_latest = size
                    latest_at[j] = size
                    tap_sign[j] = 1 + negative
                error = value - expected
                squares[j] += error * error
                first = j // SPAN * SPAN
                for k in range(j + 1, min(first + SPAN, inner)):
                    forecast[k] += factor[j, k - first] * error
            if coder[FULL]:
                return False
            _update(factor, diagonal, levels[i, tap], forecast)
        ones_of[i] = line_ones
    return True


@compiled
def _update(factor, diagonal, line, rest):
    inner = len(line)
    for first in range(0, inner, SPAN):
        last, scale = min(first + SPAN, inner), 1.0
        for j in range(first, last):
            rest[j] = line[j]
        for j in range(first, last):
            error = rest[j]
            scaled = scale * error
            grown = diagonal[j] + scaled * error
            gain = scaled / grown
            scale = scale * diagonal[j] / grown
            diagonal[j] = grown
            for k in range(j + 1, last):
                left = rest[k] - error * factor[j, k - first]
                rest[k] = left
                factor[j, k - first] += gain * left
