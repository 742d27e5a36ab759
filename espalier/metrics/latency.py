"""How long networks take for a forward pass on the CPU, each measured in turn with the others."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median, quantiles

import torch
from torch import Tensor, nn

BATCHES = (1, 64)
"""Images a forward pass: one request alone, and throughput."""
_ROUNDS = 15
_FEWEST, _ENOUGH_S = 5, 20.0
"""Large networks on few cores take seconds a pass: after so many rounds and so long, no more begin."""
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


def latency(networks: Sequence[nn.Module | Callable[[Tensor], object]], images: Tensor) -> list[Latency]:
    """Times of a forward pass of `images` of each network.

    Networks take turns, so that whatever else a machine does falls on all of them. Modules run in eager PyTorch, in
    evaluation mode, on copies on the CPU, with as many threads as this process has; any other function of images runs
    as it is, and with the threads that it chooses.

    Args:
        images: float32 (b, C, H, W), real ones: some kernels are faster on zeros. Modules see them in NHWC memory
            order, which is the faster one, other functions in NCHW
    """
    passes = [_forward_pass(network, images.cpu()) for network in networks]
    with torch.inference_mode():
        repeats = [_repeats(forward) for forward in passes]
        found: list[list[float]] = [[] for _ in passes]
        begun = time.perf_counter()
        for number in range(_ROUNDS):
            if number >= _FEWEST and time.perf_counter() - begun > _ENOUGH_S:
                break
            for times, forward, count in zip(found, passes, repeats, strict=True):
                times.append(1000 * _seconds(forward, count) / count)
    return [Latency(tuple(times)) for times in found]


def filled(images: Tensor, count: int) -> Tensor:
    """`count` images, the given ones again and again where they are fewer."""
    return images.repeat(-(-count // len(images)), 1, 1, 1)[:count]


def _forward_pass(network: nn.Module | Callable[[Tensor], object], images: Tensor) -> Callable[[], object]:
    if not isinstance(network, nn.Module):
        return partial(network, images.contiguous())
    model = copy.deepcopy(network).cpu().eval().to(memory_format=torch.channels_last)
    return partial(model, images.contiguous(memory_format=torch.channels_last))


def _repeats(forward: Callable[[], object]) -> int:
    _seconds(forward, 2)
    return max(1, round(_BLOCK_S / _seconds(forward, 1)))


def _seconds(forward: Callable[[], object], count: int) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        forward()
    return time.perf_counter() - begun
