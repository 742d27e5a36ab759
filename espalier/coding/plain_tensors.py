"""Tensors that are kept as they are: their bits as words, those of one kind together in one stream."""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from espalier.coding import byte_planes
from espalier.coding.raw_tensors import KINDS, Raw
from espalier.errors import Damaged

if TYPE_CHECKING:
    from torch import Tensor

_MODELS = 16
"""Parts of a layer (weight, bias, running_mean, ...) that have models of their own; further ones share the last."""


class Item(NamedTuple):
    """A tensor's name and shape."""

    name: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape, dtype=object))


def bits(tensor: "Tensor") -> np.ndarray:
    """The bits of a tensor's values as unsigned words of their size."""
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().view(f"<u{flat.element_size()}")


def encode(kind: str, items: Sequence[Item], tensors: "Sequence[Tensor]") -> tuple[str, bytes, int]:
    """Code tensors of one kind: the codec, the stream and the CRC-32 of shapes and words."""
    split = byte_planes.words(np.concatenate([bits(one) for one in tensors]), KINDS[kind].floating)
    coded = byte_planes.encode_range(split, [item.elements for item in items], _models(items))
    found = ("xz", byte_planes.encode_xz(split)), ("range", coded)
    codec, stream = min(found, key=lambda one: len(one[1]))
    return codec, stream, _checksum(items, split)


def decode(kind: str, codec: str, stream: bytes, items: Sequence[Item]) -> tuple[list[Raw], int]:
    """The tensors of one kind, and the CRC-32 of shapes and words.

    Raises:
        Damaged: the stream is not that of such tensors.
    """
    own, lengths = KINDS[kind], [item.elements for item in items]
    if codec == "xz":
        split = byte_planes.decode_xz(stream, sum(lengths), own.itemsize)
    else:
        split = byte_planes.decode_range(stream, lengths, _models(items), own.itemsize)
    if own.dtype == "bool" and (split > 1).any():
        raise Damaged("a truth value is neither 0 nor 1")
    words = byte_planes.values(split, own.floating).reshape(-1)
    parts = np.split(words, np.cumsum(lengths)[:-1])
    found = [Raw(own.dtype, item.shape, part.copy()) for part, item in zip(parts, items, strict=True)]
    return found, _checksum(items, split)


def _checksum(items: Sequence[Item], split: np.ndarray) -> int:
    shapes = zlib.crc32(b"".join(np.array(item.shape, "<i8").tobytes() for item in items))
    return zlib.crc32(np.ascontiguousarray(split).reshape(-1).data, shapes)


def _models(items: Sequence[Item]) -> list[int]:
    known: dict[str, int] = {}
    return [known.setdefault(item.name.rpartition(".")[2], min(len(known), _MODELS - 1)) for item in items]
