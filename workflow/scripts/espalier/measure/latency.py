"""How long networks take for a forward pass on the CPU, each measured in turn with the others."""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

import torch
from torch import Tensor, nn

BATCHES = (1, 64)
"""Images a forward pass: one request alone, and throughput."""
_ROUNDS = 15
_BLOCK_S = 0.02
"""One measurement repeats the forward pass for about this long, so that the clock's own error does not matter."""


@dataclass(frozen=True)
class Latency:
    """Times of one network, a measurement a round."""

    times: tuple[float, ...]
    """milliseconds of a forward pass"""

    @property
    def median(self) -> float:
        return median(self.times)

    @property
    def spread(self) -> float:
        """Interquartile range in milliseconds."""
        first, _, third = quantiles(self.times, n=4)
        return third - first

    def speedup(self, before: "Latency") -> float:
        """How many times faster than `before`: the median over the rounds of the two times of a round."""
        return median(old / new for old, new in zip(before.times, self.times, strict=True))


def latency(models: Sequence[nn.Module], images: Tensor) -> list[Latency]:
    """Times of a forward pass of `images` of each network.

    Networks take turns, so that whatever else a machine does falls on all of them. Eager PyTorch in evaluation mode,
    on copies on the CPU, with as many threads as this process has.

    Args:
        images: float32 (b, C, H, W), real ones: some kernels are faster on zeros
    """
    copies = [copy.deepcopy(model).cpu().eval().to(memory_format=torch.channels_last) for model in models]
    images = images.cpu().contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        repeats = [_repeats(model, images) for model in copies]
        found: list[list[float]] = [[] for _ in copies]
        for _ in range(_ROUNDS):
            for times, model, count in zip(found, copies, repeats, strict=True):
                times.append(1000 * _seconds(model, images, count) / count)
    return [Latency(tuple(times)) for times in found]


def _repeats(model: nn.Module, images: Tensor) -> int:
    _seconds(model, images, 2)
    return max(1, round(_BLOCK_S / _seconds(model, images, 1)))


def _seconds(model: nn.Module, images: Tensor, count: int) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        model(images)
    return time.perf_counter() - begun
