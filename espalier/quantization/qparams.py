"""Affine quantization in the order of torchao: choose_qparams, quantize, dequantize."""

from typing import NamedTuple

import torch
from torch import Tensor

BITS = (*range(2, 17), 32)
"""Widths that a setting may have."""
FULL = 32
"""The width at which nothing is quantized."""


class QParams(NamedTuple):
    """How levels stand for numbers: value = (level - zero_point) * scale, for levels from `lowest` to `highest`."""

    scale: Tensor
    """float32, of a shape that broadcasts to the tensor's: () per tensor, (channels, 1, ...) per channel"""
    zero_point: Tensor
    """int32, of the same shape; the level of 0.0"""
    lowest: int
    highest: int


def moved(qparams: QParams, device: torch.device | str) -> QParams:
    """The same on another device."""
    return qparams._replace(scale=qparams.scale.to(device), zero_point=qparams.zero_point.to(device))


class Quantized(NamedTuple):
    """A tensor as levels."""

    levels: Tensor
    """int32"""
    qparams: QParams

    def dequantize(self) -> Tensor:
        return dequantize(self.levels, self.qparams)


def extent(x: Tensor, axis: int | None = None) -> tuple[Tensor, Tensor]:
    """Least and greatest value of a tensor, or of each channel along `axis`, in a shape that broadcasts to `x`."""
    if axis is None:
        return torch.aminmax(x)
    others = [dim for dim in range(x.ndim) if dim != axis % x.ndim]
    return x.amin(others, keepdim=True), x.amax(others, keepdim=True)


def levels(bits: int, symmetric: bool) -> tuple[int, int]:
    """Lowest and highest level: -m to m with m = 2^(bits - 1) - 1, or 0 to 2^bits - 1.

    Raises:
        ValueError: the width is not from 2 to 16 bits.
    """
    if bits not in BITS or bits == FULL:
        raise ValueError(f"{bits} bits; a quantized tensor has from 2 to 16")
    return (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if symmetric else (0, 2**bits - 1)


def choose_qparams(low: Tensor, high: Tensor, bits: int, *, symmetric: bool) -> QParams:
    """Scale and zero point for values from `low` to `high`; 0.0 is always a level, as padding and pruning need it.

    Symmetric: scale = max(|low|, |high|) / (2^(bits - 1) - 1), zero point 0. Asymmetric: the interval is widened to
    hold 0.0 and has 2^bits levels. An empty interval has scale 1.
    """
    lowest, highest = levels(bits, symmetric)
    low, high = low.float().clamp(max=0), high.float().clamp(min=0)
    scale = torch.maximum(-low, high) / highest if symmetric else (high - low) / highest
    scale = torch.where(scale > 0, scale, 1.0)
    zero_point = torch.zeros_like(scale) if symmetric else (-low / scale).round().clamp(lowest, highest)
    return QParams(scale, zero_point.int(), lowest, highest)


def quantize(x: Tensor, qparams: QParams) -> Tensor:
    """Levels, int32, nearest to `x`; values beyond the ends get the end."""
    scale, zero_point, lowest, highest = qparams
    return ((x / scale).round() + zero_point).clamp(lowest, highest).int()


def dequantize(levels: Tensor, qparams: QParams) -> Tensor:
    """The numbers, float32, that levels stand for; the level of zero gives +0.0."""
    return (levels - qparams.zero_point).to(torch.float32) * qparams.scale


def fake_quantize(x: Tensor, qparams: QParams) -> Tensor:
    """Quantize a tensor per tensor and dequantize it, in one operation without a host sync."""
    return torch.fake_quantize_per_tensor_affine(x, *qparams)
