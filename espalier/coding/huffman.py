"""Canonical Huffman codes: the lengths are stored, the codes follow from them.

Deep Compression (https://arxiv.org/abs/1510.00149) codes weights and index differences with them.
"""

import heapq

import numpy as np

from espalier.runs.checkpoint import Damaged

LONGEST = 20
MOST = 1 << (LONGEST - 2)
"""Different symbols that a code may have."""
_CHUNK = 1 << 16


def lengths(counts: np.ndarray) -> np.ndarray:
    """Bits of each symbol's code, uint8; 0 for a symbol that does not occur, at most `LONGEST`.

    Raises:
        ValueError: more symbols occur than codes of that length could tell apart.
    """
    counts = counts.astype(np.int64)
    if np.count_nonzero(counts) > MOST:
        raise ValueError("too many symbols for a Huffman code")
    while True:
        found = _lengths(counts)
        if found.max(initial=0) <= LONGEST:
            return found
        # Flatter counts give shorter codes; the loss is far below what such a rare symbol costs.
        counts = np.where(counts > 0, (counts + 1) // 2, 0)


def encode(symbols: np.ndarray, sizes: np.ndarray) -> bytes:
    """Concatenate the codes of symbols, the first bit of a code first."""
    codes = _codes(sizes)
    widths = sizes.astype(np.int64)[symbols]
    ends = np.cumsum(widths)
    bits = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    starts, words = ends - widths, codes[symbols]
    for place in range(int(widths.max(initial=0))):
        at = widths > place
        bits[starts[at] + place] = words[at] >> (widths[at] - 1 - place) & 1
    return np.packbits(bits).tobytes()


def decode(stream: bytes, count: int, sizes: np.ndarray) -> np.ndarray:
    """`count` symbols, int64.

    Raises:
        Damaged: the lengths are those of no code, or the stream ends before the symbols or long after.
    """
    if not count:
        if stream:
            raise Damaged("a Huffman stream without symbols")
        return np.zeros(0, np.int64)
    if count > len(stream) * 8:
        raise Damaged(f"{count} symbols in {len(stream)} bytes")
    symbol_at, longest = _table(sizes)
    total = len(stream) * 8
    # What stands at every bit is looked up at once; then one walk picks the bits at which a code starts. A bit at
    # which none starts leads beyond the end.
    step_at = np.where(symbol_at < 0, total + 8, sizes[symbol_at])
    at, found, left = 0, [], count
    for start in range(0, len(stream), _CHUNK):
        windows = _windows(stream[start : start + _CHUNK + 3], min(_CHUNK, len(stream) - start), longest)
        steps, base, places = step_at[windows].tolist(), start * 8, []
        here = at - base
        while here < len(steps) and left:
            places.append(here)
            here += steps[here]
            left -= 1
        at = base + here
        found.append(symbol_at[windows[places]])
        if at > total + 7:
            break
    if left or not total - 8 < at <= total:
        raise Damaged("a Huffman stream is cut short, or goes on after its end")
    return np.concatenate(found)


def _windows(data: bytes, count: int, width: int) -> np.ndarray:
    """The `width` bits that begin at each bit of the first `count` bytes."""
    padded = np.frombuffer(data + bytes(4), np.uint8)[: count + 3].astype(np.int64)
    words = padded[:-3] << 24 | padded[1:-2] << 16 | padded[2:-1] << 8 | padded[3:]
    return (words[:, None] >> (32 - width - np.arange(8)) & ((1 << width) - 1)).reshape(-1)


def _lengths(counts: np.ndarray) -> np.ndarray:
    found = np.zeros(len(counts), np.uint8)
    present = np.flatnonzero(counts)
    if len(present) == 1:
        found[present] = 1
    if len(present) < 2:
        return found
    heap = [(int(counts[symbol]), place) for place, symbol in enumerate(present)]
    heapq.heapify(heap)
    parents, fresh = {}, len(present)
    while len(heap) > 1:
        (a, left), (b, right) = heapq.heappop(heap), heapq.heappop(heap)
        parents[left] = parents[right] = fresh
        heapq.heappush(heap, (a + b, fresh))
        fresh += 1
    depth = {fresh - 1: 0}
    for node in range(fresh - 2, -1, -1):
        depth[node] = depth[parents[node]] + 1
    found[present] = np.minimum([depth[place] for place in range(len(present))], 255)
    return found


def _codes(sizes: np.ndarray) -> np.ndarray:
    """Codes in the order of length, then of symbol."""
    order = np.argsort(sizes, kind="stable")
    order = order[sizes[order] > 0]
    widths = sizes[order].astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(np.int64(1) << (LONGEST - widths))[:-1]]) if len(order) else widths
    codes = np.zeros(len(sizes), np.int64)
    codes[order] = starts >> (LONGEST - widths)
    return codes


def _table(sizes: np.ndarray) -> tuple[np.ndarray, int]:
    longest = int(sizes.max(initial=0))
    used = np.flatnonzero(sizes)
    if not 0 < longest <= LONGEST or (np.int64(1) << (longest - sizes[used].astype(np.int64))).sum() > 1 << longest:
        raise Damaged("the lengths of a Huffman code are impossible")
    table = np.full(1 << longest, -1, np.int64)
    order = used[np.argsort(sizes[used], kind="stable")]
    filled = np.repeat(order, np.int64(1) << (longest - sizes[order].astype(np.int64)))
    table[: len(filled)] = filled
    return table, longest
