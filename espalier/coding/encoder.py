"""A quantized network to one `.esp` file that holds it exactly, in about the bytes that its entropy asks for."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from espalier.coding import codecs, container, plain_tensors
from espalier.coding.codecs import CODECS, Coded
from espalier.coding.earlier_tensors import EarlierTensors
from espalier.coding.plain_tensors import Item
from espalier.coding.raw_tensors import DTYPES
from espalier.coding.tensor_table import Levels, Plain, Table, Words, broadcasts
from espalier.quantization.qparams import Quantized


def encode(
    tensors: Mapping[str, Quantized | Tensor],
    record: Mapping[str, Any],
    path: Path,
    allowed: Collection[str] = CODECS,
) -> None:
    """Write tensors, exactly, and a record of plain data to `path`; equal contents give equal bytes.

    Args:
        record: what rebuilds the network, as in `model.json`
        allowed: codecs of levels to try; the smallest is taken for each tensor

    Raises:
        ValueError: a tensor has a name or type, or levels, that the format does not hold.
    """
    earlier, rows, plain, order, streams = EarlierTensors(), [], [], [], []
    by_kind: dict[str, list[tuple[Item, Tensor]]] = {}
    for name, tensor in tensors.items():
        order.append(int(not isinstance(tensor, Quantized)))
        if isinstance(tensor, Quantized):
            levels = centred(name, tensor)
            coded = codecs.encode(levels, earlier, allowed)
            zero_points = bool(tensor.qparams.zero_point.any())
            rows.append(_row(name, tensor, zero_points, coded))
            streams.append(container.Stream(coded.stream, codecs.checksum(levels)))
            scale = tensor.qparams.scale
            by_kind.setdefault("scale", []).append((Item(name, tuple(scale.shape)), scale))
            if zero_points:
                zero_point = tensor.qparams.zero_point
                by_kind.setdefault("zero_point", []).append((Item(name, tuple(zero_point.shape)), zero_point))
            continue
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype not in DTYPES:
            raise ValueError(f"{name}: a coded model cannot hold {tensor.dtype}")
        plain.append(Plain(name=name, shape=tuple(tensor.shape), dtype=dtype))
        by_kind.setdefault(dtype, []).append((Item(name, tuple(tensor.shape)), tensor))
    word_rows = []
    for kind, pairs in by_kind.items():
        codec, stream, crc = plain_tensors.encode(kind, *zip(*pairs, strict=True))
        word_rows.append(Words(kind=kind, codec=codec, bytes=len(stream)))
        streams.append(container.Stream(stream, crc))
    table = Table(record=dict(record), order=order, levels=rows, plain=plain, words=word_rows)
    container.write(path, table.text(), streams)


def centred(name: str, tensor: Quantized) -> np.ndarray:
    """Levels less zero points, int32, as the codecs take them.

    Raises:
        ValueError: levels, scale and zero point do not fit each other.
    """
    scale, zero_point, lowest, highest = tensor.qparams
    levels = tensor.levels
    if scale.dtype != torch.float32 or zero_point.shape != scale.shape or not broadcasts(scale.shape, levels.shape):
        raise ValueError(f"{name}: scale and zero point are not float32 and integers of a shape that fits the levels")
    for part in (levels, zero_point):
        if part.is_floating_point() or (part.numel() and (part.min() < lowest or part.max() > highest)):
            raise ValueError(f"{name}: levels or zero points are not whole numbers from {lowest} to {highest}")
    return (levels.int() - zero_point.int()).cpu().contiguous().numpy()


def _row(name: str, tensor: Quantized, zero_points: bool, coded: Coded) -> Levels:
    return Levels(
        name=name,
        shape=tuple(tensor.levels.shape),
        lowest=tensor.qparams.lowest,
        highest=tensor.qparams.highest,
        scale_shape=tuple(tensor.qparams.scale.shape),
        zero_points=zero_points,
        codec=CODECS.index(coded.codec),
        low=coded.low,
        high=coded.high,
        settings=coded.settings,
        bytes=len(coded.stream),
    )
