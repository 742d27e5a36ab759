"""Small quantized networks to code, and coded files put together again around changed parts."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from espalier.coding import container, levels_file
from espalier.coding.xz import compress
from espalier.quantization.qparams import QParams, Quantized
from espalier.seeding import key

RECORD = {"format": 1, "model": {"name": "mobilenetv2"}, "num_classes": 10, "image_size": 32, "shapes": {"a": [1, 2]}}


def sparse(shape, bits, density, *words):
    """Levels of which a share is not zero, with rows and channels that are all zero."""
    draw = np.random.default_rng(key("coded", *words))
    top = 2 ** (bits - 1) - 1
    levels = np.clip(np.rint(draw.normal(0, top / 3, shape)), -top, top).astype(np.int32)
    levels[draw.random(shape) >= density] = 0
    if len(shape) > 1:
        levels[draw.random(shape[0]) < 0.4] = 0
        levels[:, draw.random(shape[1]) < 0.4] = 0
    return levels


def image_weights(rows, channels, width):
    """Sparse levels of a layer behind square images, each row's in one spot of each image and of one sign."""
    draw = np.random.default_rng(key("image", rows, channels, width))
    place = np.arange(channels)
    x, y = draw.uniform(0, width, (2, rows, 1))
    spot = np.hypot(place % width - x, place // width % width - y) < 0.2 * width
    return np.where(spot, draw.integers(1, 4, (rows, channels)) * draw.choice([-1, 1], (rows, 1)), 0).astype(np.int32)


def quantized(levels, bits=8, axis=None):
    shape = [size if place == axis else 1 for place, size in enumerate(levels.shape)] if axis is not None else []
    scale = torch.arange(1, 1 + int(np.prod(shape)), dtype=torch.float32).reshape(shape) / 1000
    top = 2 ** (bits - 1) - 1
    return Quantized(torch.from_numpy(levels), QParams(scale, torch.zeros_like(scale, dtype=torch.int32), -top, top))


def network():
    """Every kind of tensor that a file may hold, small."""
    draw = torch.Generator().manual_seed(0)
    odd = torch.tensor([float("nan"), -0.0, float("inf"), 5e-45, 1.0])
    asymmetric = QParams(
        torch.rand(4, 1, generator=draw), torch.tensor([[0], [3], [15], [7]], dtype=torch.int32), 0, 15
    )
    levels = torch.randint(0, 16, (4, 6), generator=draw, dtype=torch.int32)
    return {
        "a.weight": quantized(sparse((24, 16, 1, 1), 8, 0.3, 1)),
        "a.bias": torch.randn(24, generator=draw),
        "a.running_mean": torch.randn(24, generator=draw),
        "b.weight": quantized(sparse((24, 1, 3, 3), 4, 0.5, 2), 4, axis=0),
        "b.half": torch.randn(3, 4, generator=draw).half(),
        "b.brain": torch.randn(5, generator=draw).bfloat16(),
        "odd": odd,
        "odd64": odd.double(),
        "c.weight": Quantized(levels, asymmetric),
        "wide": quantized(sparse((5, 7), 16, 0.9, 3), 16),
        "zeros": quantized(np.zeros((3, 4, 2), np.int32), 2),
        "vector": quantized(sparse((9,), 8, 0.5, 4)),
        "empty": quantized(np.zeros((0, 4), np.int32)),
        "scalar": torch.tensor(7),
        "flags": torch.tensor([True, False, True]),
        "small": torch.arange(-3, 3, dtype=torch.int8),
        "short": torch.arange(-3, 3, dtype=torch.int16),
        "none": torch.zeros(0, 3),
    }


def same(a, b):
    """Equal bit for bit, with types and shapes."""
    if isinstance(a, Quantized) or isinstance(b, Quantized):
        pairs = [(a.levels, b.levels), (a.qparams.scale, b.qparams.scale), (a.qparams.zero_point, b.qparams.zero_point)]
        return a.qparams[2:] == b.qparams[2:] and all(same(*pair) for pair in pairs)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8))


def sealed(path, text, rest):
    """A file with a sound checksum around any table, as text, and any streams."""
    packed = compress(text)
    front = container._FRONT.pack(container.MAGIC, container.VERSION, len(packed), len(text))
    path.write_bytes(front + hashlib.sha256(front + packed + rest).digest() + packed + rest)


def taken_apart(path):
    """The table as plain data, and the streams."""
    frame = container.read(path, 1 << 30)
    return json.loads(json.dumps(frame.table)), frame.rest


def published():
    """The published levels of a pruned MobileNetV2, where ESPALIER_DATA has them."""
    path = Path(os.environ.get("ESPALIER_DATA", "none")) / "report004" / "mobilenetv2_report004_int8.safetensors"
    if not path.is_file():
        pytest.skip("ESPALIER_DATA has no report004")
    return levels_file.read(path)
