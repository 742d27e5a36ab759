"""What the same levels take by the usual ways, from dense floats down to their entropy."""

import heapq
import io
import lzma
import zlib
from collections.abc import Mapping
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from espalier.coding import codecs
from espalier.coding.earlier_tensors import EarlierTensors
from espalier.coding.encoder import centred
from espalier.coding.entropy import bound_bytes, conditional_bytes
from espalier.coding.xz import compress
from espalier.quantization.qparams import Quantized

_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
_STEP = 255
"""The distance of 8 bits that passes over so many zeros and ends at no value."""


class Rung(NamedTuple):
    """Bytes by one method."""

    method: str
    levels: float
    """of all quantized tensors"""
    others: int | None = None
    """of all other parameters, where the method says how they are kept"""


def ladder(tensors: Mapping[str, Quantized | Tensor], coded: int | None = None) -> list[Rung]:
    """The methods' sizes of one network; general compressors are given all levels in one piece, a byte or two each.

    Theoretical and COO are those of a published pruned MobileNetV2: non-zeros with 16-bit indices, others in fp32;
    and the torch file of an index vector a dimension, int8 or int16, and of int8 values. Relative index + Huffman is
    the format of Deep Compression (https://arxiv.org/abs/1510.00149).

    Args:
        coded: what the levels take as Espalier codes them with all codecs, where that is known
    """
    levels = {name: centred(name, one) for name, one in tensors.items() if isinstance(one, Quantized)}
    widths = {name: _bits(one) for name, one in tensors.items() if isinstance(one, Quantized)}
    others = sum(
        one.numel() * 4
        for name, one in tensors.items()
        if not isinstance(one, Quantized) and not name.endswith(_BUFFERS)
    )
    elements = sum(one.size for one in levels.values())
    data = b"".join(one.astype(_smallest(one)).tobytes() for one in levels.values())
    weighed = sum(int(np.count_nonzero(one)) * (widths[name] / 8 + 2) for name, one in levels.items())
    found = [
        Rung("dense fp32", elements * 4, others),
        Rung("theoretical: non-zeros, 16-bit indices", weighed, others),
        Rung("COO, torch file", _coo_bytes(levels, tensors)),
        Rung("zlib -9", len(zlib.compress(data, 9))),
    ]
    if find_spec("zstandard"):
        from zstandard import ZstdCompressor

        found.append(Rung("zstd -19", len(ZstdCompressor(level=19).compress(data))))
    found.append(Rung("xz -9e", len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))))
    found.append(Rung("bitmap + xz", sum(map(_bitmap_bytes, levels.values()))))
    found.append(Rung("relative index + Huffman", sum(map(_relative_bytes, levels.values()))))
    if coded is None:
        earlier = EarlierTensors()
        coded = sum(len(codecs.encode(one, earlier).stream) for one in levels.values())
    found.append(Rung("espalier", coded))
    found.append(Rung("entropy given row and column", sum(conditional_bytes(one) for one in levels.values())))
    found.append(Rung("order-0 entropy", sum(bound_bytes(one) for one in levels.values())))
    return found


def _bits(tensor: Quantized) -> int:
    return (tensor.qparams.highest - tensor.qparams.lowest).bit_length()


def _ends(levels: np.ndarray) -> tuple[int, int]:
    return (int(levels.min()), int(levels.max())) if levels.size else (0, 0)


def _smallest(levels: np.ndarray) -> np.dtype:
    low, high = _ends(levels)
    return next(
        dtype
        for dtype in map(np.dtype, ("i1", "i2", "i4"))
        if np.iinfo(dtype).min <= low <= high <= np.iinfo(dtype).max
    )


def _coo_bytes(levels: Mapping[str, np.ndarray], tensors: Mapping[str, Quantized | Tensor]) -> int:
    kept = {}
    for name, one in levels.items():
        places = np.nonzero(one)
        indices = [
            torch.from_numpy(place.astype(np.int8 if size <= 128 else np.int16 if size <= 1 << 15 else np.int32))
            for place, size in zip(places, one.shape, strict=True)
        ]
        values = torch.from_numpy(one[places].astype(_smallest(one)))
        kept[name] = {"indices": indices, "values": values, "scale": tensors[name].qparams.scale.clone()}
    file = io.BytesIO()
    torch.save(kept, file)
    return len(file.getvalue())


def _bitmap_bytes(levels: np.ndarray) -> int:
    """One bit a level for its zeroness, then the others' values byte by byte; both through LZMA."""
    kept = levels.reshape(-1) != 0
    values = levels.reshape(-1)[kept].astype(_smallest(levels).newbyteorder("<"))
    planes = values.view(np.uint8).reshape(len(values), values.itemsize)
    return len(compress(np.packbits(kept).tobytes() + planes.T.tobytes()))


def _relative_bytes(levels: np.ndarray) -> int:
    """Distances to the next value and values, each with the table of its Huffman code and three 32-bit lengths."""
    (distances, values), (low, high) = relative_index(levels), _ends(levels)
    total = 0
    for symbols, different in ((distances, _STEP + 1), (values - low, high - low + 1)):
        counts = np.bincount(symbols, minlength=different)
        lengths = huffman_lengths(counts)
        total += 12 + len(zlib.compress(lengths.tobytes(), 9)) + (int(lengths @ counts) + 7) // 8
    return total


def relative_index(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Zeros before each value, in steps of 255 where there are more, and the values; int64."""
    flat = levels.reshape(-1)
    places = np.flatnonzero(flat)
    steps, rest = np.divmod(np.diff(places, prepend=-1) - 1, _STEP)
    distances = np.full(int(steps.sum()) + len(places), _STEP, np.int64)
    distances[np.cumsum(steps + 1) - 1] = rest
    return distances, flat[places].astype(np.int64)


def huffman_lengths(counts: np.ndarray) -> np.ndarray:
    """Bits of each symbol's Huffman code, from how often it occurs; 0 for one that does not."""
    lengths = np.zeros(len(counts), np.uint8)
    heap = [(int(counts[symbol]), int(symbol), [symbol]) for symbol in np.flatnonzero(counts)]
    if len(heap) == 1:
        lengths[heap[0][1]] = 1
    heapq.heapify(heap)
    # Of equal counts the older is joined first, which keeps the longest code short.
    for number in range(len(counts), len(counts) + len(heap) - 1):
        (a, _, left), (b, _, right) = heapq.heappop(heap), heapq.heappop(heap)
        lengths[left + right] += 1
        heapq.heappush(heap, (a + b, number, left + right))
    return lengths
