"""A quantized network from an `.esp` file, bit for bit, or one clear error: the file may be damaged or made to harm."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from espalier.coding import codecs, container, plain_tensors
from espalier.coding.codecs import CODECS, Coded
from espalier.coding.earlier_tensors import EarlierTensors
from espalier.coding.plain_tensors import Item
from espalier.coding.raw_tensors import KINDS, Raw, RawLevels
from espalier.coding.tensor_table import Levels, Table, broadcasts, parse
from espalier.errors import ArtifactError, Damaged

if TYPE_CHECKING:
    from torch import Tensor

    from espalier.quantization.qparams import Quantized

LIMIT = 1 << 30
"""Bytes of decoded tensors, and of a file, above which a file is refused unless its reader says otherwise.

It bounds time and memory too: a cell takes 0.1 to 7 microseconds, the most where levels are wide and none is zero, and
the tensors are held about twice. A file made to harm can so hold its reader for half an hour at this limit: who reads
files of strangers gives a lower one. A coded stream may claim no more cells than its bytes could hold
(`SYMBOLS_PER_BYTE`).
"""
_LEVEL_BYTES = 4


class Contents(NamedTuple):
    """What a file holds."""

    tensors: "dict[str, Quantized | Tensor]"
    """in the order in which they were written, on the CPU"""
    record: dict[str, Any]


class RawContents(NamedTuple):
    """What a file holds, without torch."""

    tensors: dict[str, RawLevels | Raw]
    """in the order in which they were written"""
    record: dict[str, Any]

    def of_torch(self) -> Contents:
        """The same as tensors of torch."""
        return Contents({name: _tensor(each) for name, each in self.tensors.items()}, self.record)


def decode(path: Path, limit: int = LIMIT) -> Contents:
    """Read what `encode` wrote, bit for bit.

    Args:
        limit: bytes of decoded tensors above which a file is refused

    Raises:
        ArtifactError: the file is missing, damaged, larger than the limit, or made to look like one.
    """
    return read(path, limit).of_torch()


def read(path: Path, limit: int = LIMIT) -> RawContents:
    """As `decode`, without torch."""
    return open_parts(path, limit).contents()


class Parts(NamedTuple):
    """A file whose levels are decoded, and whose other streams are not yet."""

    path: Path
    table: Table
    table_bytes: int
    streams: list[bytes]
    crcs: list[int]
    levels: list[np.ndarray]
    """less zero points, int32"""
    shares: list[float]
    """of each stream of levels, the share that tells which are zero; 0 of a dense one"""

    def contents(self) -> RawContents:
        """All tensors.

        Raises:
            ArtifactError: as `decode`.
        """
        with naming_file(self.path):
            return _contents(self)


def open_parts(path: Path, limit: int = LIMIT) -> Parts:
    """Check a file and decode its levels; for readers that look at the streams themselves.

    Raises:
        ArtifactError: as `decode`.
    """
    with naming_file(path):
        frame = container.read(path, limit)
        table = parse(frame.table)
        _check_size(table, _groups(table), limit)
        streams, crcs = _split(frame.rest, [row.bytes for row in (*table.levels, *table.words)])
        earlier, levels, shares = EarlierTensors(), [], []
        for row, stream, crc in zip(table.levels, streams, crcs, strict=False):
            coded = Coded(CODECS[row.codec], row.low, row.high, row.settings, stream)
            levels.append(codecs.decode(coded, row.shape, earlier))
            _check(row.name, crc, codecs.checksum(levels[-1]))
            index, value = earlier.spent if coded.codec == "mixed" else (0.0, 1.0)
            shares.append(float(index / (index + value)))
        return Parts(path, table, frame.table_bytes, streams, crcs, levels, shares)


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Have damage that is found in a block told as an error that names the file and the mend."""
    try:
        yield
    except (Damaged, OSError) as error:
        reason = " ".join(str(error).split())[:500]
        raise ArtifactError(f"{path}: {reason}. Copy it from its source again, or encode its run again") from error


def _contents(parts: Parts) -> RawContents:
    table, groups = parts.table, _groups(parts.table)
    found: dict[str, dict[str, Raw]] = {}
    behind = slice(len(table.levels), None)
    for row, stream, crc in zip(table.words, parts.streams[behind], parts.crcs[behind], strict=True):
        items = groups[row.kind]
        tensors, made = plain_tensors.decode(row.kind, row.codec, stream, items)
        _check(f"the stream of {row.kind}", crc, made)
        found[row.kind] = {item.name: tensor for item, tensor in zip(items, tensors, strict=True)}
    quantized = (_quantized(row, levels, found) for row, levels in zip(table.levels, parts.levels, strict=True))
    plain = ((row.name, found[row.dtype][row.name]) for row in table.plain)
    return RawContents(dict(next(plain if each else quantized) for each in table.order), table.record)


def _quantized(row: Levels, centred: np.ndarray, found: Mapping[str, Mapping[str, Raw]]) -> tuple[str, RawLevels]:
    scale = found["scale"][row.name].values()
    none = np.zeros(row.scale_shape, np.int32)
    zero_point = found["zero_point"][row.name].values() if row.zero_points else none
    if zero_point.size and not row.lowest <= int(zero_point.min()) <= int(zero_point.max()) <= row.highest:
        raise Damaged(f"{row.name} has zero points beyond its levels")
    # Sums beyond 32 bits wrap, as torch's do.
    levels = np.add(centred, zero_point, out=np.empty(centred.shape, np.int32))
    if levels.size and not row.lowest <= int(levels.min()) <= int(levels.max()) <= row.highest:
        raise Damaged(f"{row.name} has levels beyond {row.lowest} to {row.highest}")
    return row.name, RawLevels(levels, scale, zero_point, row.lowest, row.highest)


def _tensor(found: RawLevels | Raw) -> "Quantized | Tensor":
    import torch

    from espalier.quantization.qparams import QParams, Quantized

    if isinstance(found, RawLevels):
        # Flattened first: torch does not accept NumPy's strides of an empty array.
        levels, scale, zero_point = (torch.from_numpy(each.reshape(-1)).reshape(each.shape) for each in found[:3])
        return Quantized(levels, QParams(scale, zero_point, found.lowest, found.highest))
    dtype = getattr(torch, found.dtype)
    # torch cannot view an empty array as another type.
    words = found.words.view(np.uint8)
    flat = torch.from_numpy(words).view(dtype) if len(words) else torch.zeros(0, dtype=dtype)
    return flat.reshape(found.shape)


def _groups(table: Table) -> dict[str, list[Item]]:
    """Kind of a stream of words → the tensors in it."""
    groups: dict[str, list[Item]] = {}
    for row in table.levels:
        if not broadcasts(row.scale_shape, row.shape):
            raise Damaged(f"the scales of {row.name} do not fit its shape")
        groups.setdefault("scale", []).append(Item(row.name, row.scale_shape))
        if row.zero_points:
            groups.setdefault("zero_point", []).append(Item(row.name, row.scale_shape))
    for row in table.plain:
        groups.setdefault(row.dtype, []).append(Item(row.name, row.shape))
    if groups.keys() != {row.kind for row in table.words}:
        raise Damaged("its streams of words are not those of its tensors")
    return groups


def _check_size(table: Table, groups: Mapping[str, list[Item]], limit: int) -> None:
    # Before anything is made: a sparse tensor of any size fits a few bytes, so the shapes are what counts.
    size = sum(Item(row.name, row.shape).elements * _LEVEL_BYTES for row in table.levels)
    size += sum(item.elements * KINDS[kind].itemsize for kind, items in groups.items() for item in items)
    if size > limit:
        raise Damaged(f"its tensors would take {size} bytes, and the limit here is {limit}")


def _split(rest: bytes, lengths: list[int]) -> tuple[list[bytes], list[int]]:
    if sum(lengths) + container.CRC_BYTES * len(lengths) != len(rest):
        raise Damaged("its streams do not add up to its size")
    streams, crcs, start = [], [], 0
    for length in lengths:
        end = start + length
        streams.append(rest[start:end])
        crcs.append(int.from_bytes(rest[end : end + container.CRC_BYTES], "little"))
        start = end + container.CRC_BYTES
    return streams, crcs


def _check(name: str, crc: int, made: int) -> None:
    if made != crc:
        raise Damaged(f"{name} does not decode to what was coded")
