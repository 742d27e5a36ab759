"""Tensors that are kept as they are: their bits as words, those of one kind together in one stream."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from espalier.coding import byte_planes
from espalier.errors import Damaged

DTYPES = {
    name: getattr(torch, name)
    for name in "float32 float16 bfloat16 float64 int8 uint8 int16 int32 int64 bool".split()  # noqa: SIM905
}
KINDS = {**DTYPES, "scale": torch.float32, "zero_point": torch.int32}
"""Kind of a stream → type of its tensors."""
_MODELS = 16
"""Parts of a layer (weight, bias, running_mean, ...) that have models of their own; further ones share the last."""


class Item(NamedTuple):
    """A tensor's name and shape."""

    name: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape, dtype=object))


def bits(tensor: Tensor) -> np.ndarray:
    """The bits of a tensor's values as unsigned words of their size."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().view(f"<u{flat.element_size()}")


def encode(kind: str, items: Sequence[Item], tensors: Sequence[Tensor]) -> tuple[str, bytes, int]:
    """Code tensors of one kind: the codec, the stream and the CRC-32 of shapes and words."""
    split = byte_planes.words(np.concatenate([bits(one) for one in tensors]), KINDS[kind].is_floating_point)
    coded = byte_planes.encode_range(split, [item.elements for item in items], _models(items))
    found = ("xz", byte_planes.encode_xz(split)), ("range", coded)
    codec, stream = min(found, key=lambda one: len(one[1]))
    return codec, stream, _checksum(items, split)


def decode(kind: str, codec: str, stream: bytes, items: Sequence[Item]) -> tuple[list[Tensor], int]:
    """The tensors of one kind, and the CRC-32 of shapes and words.

    Raises:
        Damaged: the stream is not that of such tensors.
    """
    dtype, lengths = KINDS[kind], [item.elements for item in items]
    if codec == "xz":
        split = byte_planes.decode_xz(stream, sum(lengths), dtype.itemsize)
    else:
        split = byte_planes.decode_range(stream, lengths, _models(items), dtype.itemsize)
    if dtype == torch.bool and (split > 1).any():
        raise Damaged("a truth value is neither 0 nor 1")
    words = byte_planes.values(split, dtype.is_floating_point).view(np.uint8).copy()
    # No words at all are no memory that torch could look at as another type.
    flat = torch.from_numpy(words).view(dtype) if len(words) else torch.zeros(0, dtype=dtype)
    return [part.clone().reshape(item.shape) for part, item in zip(flat.split(lengths), items, strict=True)], _checksum(
        items, split
    )


def _checksum(items: Sequence[Item], split: np.ndarray) -> int:
    shapes = zlib.crc32(b"".join(np.array(item.shape, "<i8").tobytes() for item in items))
    return zlib.crc32(np.ascontiguousarray(split).reshape(-1).data, shapes)


def _models(items: Sequence[Item]) -> list[int]:
    known: dict[str, int] = {}
    return [known.setdefault(item.name.rpartition(".")[2], min(len(known), _MODELS - 1)) for item in items]
