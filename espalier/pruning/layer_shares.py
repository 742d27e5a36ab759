"""How many weights of each layer go, where it is not the same ratio of all.

However they are spread over the layers, as many go together as one ratio of all layers takes. The counts are exact.
"""

import math
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from espalier.pruning import weakest
from espalier.pruning.masks import Masks

Allocation = Literal["gaussian", "erdos_renyi_kernel", "sensitivity"]
Spread = Callable[[float], list[float]]
"""The fraction of each layer's weights that goes, at a number above 0 that is larger the more go in all."""

_DEVIATION = 0.25
"""Of the Gaussian over depth, where the network is 1 deep: either end lies two of them from the middle."""
_HALVINGS = 6
"""So often a layer alone is halved: a half, a quarter, ... a 64th of its weights stay."""
_STEPS = 200
"""Of the search for that number; beyond the precision of a float."""


def gaussian(layers: int) -> Spread:
    """Ratios by depth that follow a Gaussian with its peak in the middle of the network."""
    middle = (layers - 1) / 2
    heights = [math.exp(-(((at - middle) / max(1, layers - 1) / _DEVIATION) ** 2) / 2) for at in range(layers)]
    return lambda peak: [min(1.0, peak * height) for height in heights]


def erdos_renyi_kernel(weights: Mapping[str, Tensor]) -> Spread:
    """The share of weights that each layer keeps by the Erdős–Rényi kernel rule, so that small layers stay dense.

    Evci et al. 2020, arXiv 1911.11134: a convolution (o, i, h, w) keeps a share in proportion to
    (o + i + h + w) / (o · i · h · w), a linear layer (o, i) to (o + i) / (o · i); at most all.
    """
    staying = [sum(weight.shape) / weight.numel() for weight in weights.values()]
    return lambda divisor: [max(0.0, 1 - share / divisor) for share in staying]


@torch.no_grad()
def sensitivity(weights: Mapping[str, Tensor], masks: Masks, floor: float | None, correct: Callable[[], int]) -> Spread:
    """Layers are cut so far that the cut of each alone costs equally many images, of those that the network had right.

    Each layer alone is halved again and again, by magnitude, and the network scored; between two halvings the cost is
    interpolated, and it never falls. An image is added for each halving: so every cut costs something, and layers that
    lose nothing are not emptied. The weights are changed while it measures, and put back.

    Args:
        correct: how many images the network answers rightly as it stands
    """
    before, costs = correct(), []
    for path, weight in weights.items():
        kept, whole, lost = Masks({path: weight}, {path: masks[path]}), weight.detach().clone(), [0]
        for halving in range(1, _HALVINGS + 1):
            alone = weakest.magnitude({path: weight}, 1 - 0.5**halving, floor=floor, masks=kept)
            weight.masked_fill_(~alone[path], 0.0)
            lost.append(before - correct())
            weight.copy_(whole)
        costs.append([images + halving for halving, images in enumerate(accumulate(lost, max))])

    def halvings(cost: float, known: list[int]) -> float:
        return float(np.interp(cost, known, range(len(known)))) + max(0.0, cost - known[-1])

    return lambda cost: [1 - 0.5 ** halvings(cost, known) for known in costs]


def counts(masks: Masks, going: int, spread: Spread, least: Mapping[str, int]) -> dict[str, int]:
    """Path → how many weights are dropped in the end: `going` of all layers together.

    Args:
        masks: what they dropped stays dropped, and counts
        least: weights of each layer that stay whatever its fraction is. Where they allow less, less is dropped.
    """
    sizes = [mask.numel() for mask in masks.values()]
    dropped = [mask.numel() - int(mask.sum()) for mask in masks.values()]
    most = [max(gone, size - least[path]) for path, size, gone in zip(masks, sizes, dropped, strict=True)]
    going = min(going, sum(most))

    def at(number: float) -> list[float]:
        asked = (size * fraction for size, fraction in zip(sizes, spread(number), strict=True))
        return [min(max(low, one), high) for low, one, high in zip(dropped, asked, most, strict=True)]

    low, high = 0.0, 1.0
    while sum(at(high)) < going:
        low, high = high, 2 * high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if sum(at(middle)) >= going else (middle, high)
    return dict(zip(masks, _whole(at(high), going), strict=True))


def _whole(parts: list[float], total: int) -> list[int]:
    """The parts, rounded to whole numbers of this sum: those of the largest fractions upwards, of equal ones the first.

    The sum of the parts is at most by a rounding error larger than the total.
    """
    found = [math.floor(part) for part in parts]
    upwards = sorted(range(len(parts)), key=lambda place: found[place] - parts[place])
    for place in upwards[: max(0, total - sum(found))]:
        found[place] += 1
    return found
