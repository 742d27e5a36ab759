"""From which to which value the levels of an activation reach, given how often each value occurs."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from espalier.quantization.histogram import BINS, Histogram
from espalier.quantization.qparams import QParams, choose_qparams, dequantize, quantize
from espalier.site.device import exact

Range = Literal["minmax", "percentile", "mse", "entropy"]

_STEPS = 64
"""Shares of an interval that are tried."""


def activation_qparams(
    seen: Histogram, how: Range, bits: int, *, symmetric: bool, percentile: float = 99.99
) -> QParams:
    """Quantization parameters of an activation, from the histogram of its values in calibration.

    The range is, by `how`: all values (minmax); all but the rarest at both ends (percentile); that of least squared
    error (mse); or that of least Kullback-Leibler divergence between the values and their levels (entropy, as in
    TensorRT).

    Args:
        percentile: percent of the values that lie below the upper end, and as many above the lower end
    """
    low, high = seen.low, seen.high
    if how == "percentile":
        low, high = _percentile(seen, percentile)
    elif how in ("mse", "entropy"):
        measure = {"mse": _squared_error, "entropy": _divergence}[how]
        low, high = _least(seen, bits, symmetric, measure)
    return _qparams(low, high, bits, symmetric, seen.counts.device)


def _qparams(low: float, high: float, bits: int, symmetric: bool, device: torch.device) -> QParams:
    return choose_qparams(
        torch.tensor(low, device=device), torch.tensor(high, device=device), bits, symmetric=symmetric
    )


def _percentile(seen: Histogram, percentile: float) -> tuple[float, float]:
    total = seen.counts.cumsum(0)
    beyond = total[-1] * (1 - percentile / 100)
    within = seen.centres[(total > beyond) & (total - seen.counts < total[-1] - beyond)]
    return max(seen.low, min(0.0, float(within[0]))), min(seen.high, max(0.0, float(within[-1])))


def _least(
    seen: Histogram, bits: int, symmetric: bool, measure: Callable[[Histogram, QParams], Tensor]
) -> tuple[float, float]:
    """The interval of least error: both ends drawn in together, then either one by itself; of equals the widest."""
    low, high = seen.low, seen.high
    shares = [1 - step / _STEPS for step in range(_STEPS)]

    def best(candidates: list[tuple[float, float]]) -> tuple[float, float]:
        lows, highs = torch.tensor(candidates, device=seen.counts.device).unsqueeze(2).unbind(1)
        return candidates[int(measure(seen, choose_qparams(lows, highs, bits, symmetric=symmetric)).argmin())]

    low, high = best([(share * low, share * high) for share in shares])
    if symmetric or not low or not high:
        return low, high
    low, high = best([(low, high), *((low, share * seen.high) for share in shares)])
    return best([(low, high), *((share * seen.low, high) for share in shares)])


def _squared_error(seen: Histogram, qparams: QParams) -> Tensor:
    """Sum over what was seen, for each candidate, (n,)."""
    values, counts = _occupied(seen)
    return ((dequantize(quantize(values, qparams), qparams) - values).square() * counts).sum(1)


def _divergence(seen: Histogram, qparams: QParams) -> Tensor:
    """KL(P || Q) for each candidate, (n,).

    P has what is cut off in its last bins; Q spreads a level's count evenly over its occupied bins. Zeros, a level
    under every candidate, are left out: one spike among the bins of a level, they would ask for narrow levels.
    """
    values, counts = _occupied(seen)
    counts = counts.masked_fill(values == seen.centres[BINS], 0)
    level = (values / qparams.scale).round() + qparams.zero_point
    inside = (level >= qparams.lowest) & (level <= qparams.highest)
    places = level.clamp(qparams.lowest, qparams.highest).long() - qparams.lowest
    wide = exact(counts.device)
    within = (counts * inside).to(wide)
    # The first and the last bin inside get what lies beyond them.
    p = within.clone()
    below = torch.where(level < qparams.lowest, counts, 0.0).sum(1, keepdim=True).to(wide)
    above = torch.where(level > qparams.highest, counts, 0.0).sum(1, keepdim=True).to(wide)
    first = inside.int().argmax(1, keepdim=True)
    last = inside.shape[1] - 1 - inside.flip(1).int().argmax(1, keepdim=True)
    p = p.scatter_add(1, first, below).scatter_add(1, last, above)
    zeros = p.new_zeros(len(p), qparams.highest - qparams.lowest + 1)
    mass = zeros.scatter_add(1, places, within)
    bins = zeros.scatter_add(1, places, inside.to(wide))
    q = (mass / bins.clamp(min=1)).gather(1, places) * inside
    p, q = p / p.sum(1, keepdim=True).clamp(min=1), q / q.sum(1, keepdim=True).clamp(min=1)
    return (p * (p.clamp(min=torch.finfo(wide).tiny).log() - q.clamp(min=1e-9).log())).sum(1)


def _occupied(seen: Histogram) -> tuple[Tensor, Tensor]:
    """Centres and counts, float32 (1, bins), of the bins that are not empty."""
    where = (seen.counts > 0).nonzero().flatten()
    return seen.centres[where].unsqueeze(0), seen.counts[where].float().unsqueeze(0)
