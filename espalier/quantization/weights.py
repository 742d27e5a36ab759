"""Weights of a layer as levels, each the nearest to its number."""

from typing import Literal

import torch
from torch import Tensor

from espalier.quantization.qparams import Quantized, choose_qparams, dequantize, extent, quantize

Granularity = Literal["tensor", "channel"]
WeightRange = Literal["minmax", "mse"]

_SHARES = tuple(1 - step / 50 for step in range(35))


def nearest(
    weight: Tensor, bits: int, granularity: Granularity, how: WeightRange = "minmax", *, symmetric: bool = True
) -> Quantized:
    """Round a weight to levels of one scale, or of one a channel of its outputs; zeros stay zero.

    Args:
        how: the range of the levels: all of the weight's, or that of least squared error
    """
    axis = 0 if granularity == "channel" else None
    weight = weight.detach().float()
    low, high = extent(weight, axis)
    if how == "minmax":
        qparams = choose_qparams(low, high, bits, symmetric=symmetric)
        return Quantized(quantize(weight, qparams), qparams)
    best, least = torch.ones_like(low), torch.full_like(low, torch.inf)
    for share in _SHARES:
        qparams = choose_qparams(share * low, share * high, bits, symmetric=symmetric)
        errors = (dequantize(quantize(weight, qparams), qparams) - weight).square()
        error = errors.sum() if axis is None else errors.flatten(1).sum(1).view_as(low)
        best = torch.where(error < least, share, best)
        least = torch.minimum(error, least)
    qparams = choose_qparams(best * low, best * high, bits, symmetric=symmetric)
    return Quantized(quantize(weight, qparams), qparams)
