"""What the bytes of a coded model are spent on."""

from typing import NamedTuple

import numpy as np

from espalier.coding.codecs import CODECS
from espalier.coding.container import CRC_BYTES, HEADER_BYTES
from espalier.coding.decoder import Parts
from espalier.coding.entropy import bound_bytes, conditional_bytes


class Part(NamedTuple):
    """Bytes of a file with one purpose."""

    purpose: str
    """weights, indices, scales, zero points, other parameters, checksums, metadata, header"""
    name: str
    """the tensor, or the type of the tensors that share a stream"""
    codec: str
    bytes: int
    bound: float | None = None
    """order-0 entropy in bytes of a tensor's zeroness and values, beside its weights"""
    conditional: float | None = None
    """the same given row and column"""


def anatomy(contents: Parts) -> list[Part]:
    """The purpose of every byte; the parts sum to the size of the file.

    A mixed stream is divided between indices (which weights are zero) and weights (the others' values) as
    its model spent them; all other figures are lengths.
    """
    found = [Part("header", "", "", HEADER_BYTES), Part("metadata", "", "xz", contents.table_bytes)]
    found.append(Part("checksums", "", "", CRC_BYTES * len(contents.streams)))
    rows = zip(contents.table.levels, contents.levels, contents.streams, contents.shares, strict=False)
    for row, levels, stream, share in rows:
        codec, indices = CODECS[row.codec], round(len(stream) * share)
        found.append(Part("indices", row.name, codec, indices))
        bounds = bound_bytes(levels), conditional_bytes(levels)
        found.append(Part("weights", row.name, codec, len(stream) - indices, *bounds))
    purposes = {"scale": "scales", "zero_point": "zero points"}
    for row in contents.table.words:
        found.append(Part(purposes.get(row.kind, "other parameters"), row.kind, row.codec, row.bytes))
    return found


def by_purpose(parts: list[Part]) -> dict[str, int]:
    """Bytes of each purpose, the largest first."""
    purposes = np.array([part.purpose for part in parts])
    sizes = np.array([part.bytes for part in parts])
    sums = {str(purpose): int(sizes[purposes == purpose].sum()) for purpose in dict.fromkeys(purposes)}
    return dict(sorted(sums.items(), key=lambda item: -item[1]))
