"""How many weights of each layer go, where it is not the same ratio of all, and how much a layer alone seems to bear.

However they are spread over the layers, as many go together as one ratio of all layers takes. The counts are exact.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from espalier.pruning import weakest
from espalier.pruning.masks import Masks

Allocation = Literal["gaussian", "erdos_renyi_kernel", "sensitivity"]

_DEVIATION = 0.25
"""Of the Gaussian over depth, where the network is 1 deep: either end lies two of them from the middle."""
_HALVINGS = 200
"""Of the interval in which the common factor is sought; beyond the precision of a float."""


def gaussian(layers: int) -> list[float]:
    """Ratios by depth, up to a factor: those of a Gaussian that has its peak in the middle of the network."""
    middle = (layers - 1) / 2
    return [math.exp(-(((at - middle) / max(1, layers - 1) / _DEVIATION) ** 2) / 2) for at in range(layers)]


def erdos_renyi_kernel(weights: Mapping[str, Tensor]) -> list[float]:
    """Fractions of the weights that stay, up to a factor: the sum of a weight's sides over their product.

    Evci et al. 2020, arXiv 1911.11134: a convolution (o, i, h, w) keeps (o + i + h + w) / (o · i · h · w), a linear
    layer (o, i) keeps (o + i) / (o · i), so that small layers stay dense.
    """
    return [sum(weight.shape) / weight.numel() for weight in weights.values()]


@torch.no_grad()
def sensitivity(
    weights: Mapping[str, Tensor],
    masks: Masks,
    ratio: float,
    floor: float | None,
    correct: Callable[[], int],
) -> list[float]:
    """Ratios, up to a factor: the inverse of the images that are lost when a layer alone is cut by `ratio`.

    An image is the least that can be lost, so that layers whose cut loses none have all the same ratio. The weights
    are changed while it measures, and put back.

    Args:
        correct: how many images the network answers rightly as it stands
    """
    before, found = correct(), []
    for path, weight in weights.items():
        alone = weakest.magnitude({path: weight}, ratio, floor=floor, masks=Masks({path: weight}, {path: masks[path]}))
        whole = weight.detach().clone()
        weight.masked_fill_(~alone[path], 0.0)
        found.append(1 / max(1, before - correct()))
        weight.copy_(whole)
    return found


def counts(masks: Masks, going: int, shares: list[float], *, staying: bool, least: Mapping[str, int]) -> dict[str, int]:
    """Path → how many weights are dropped in the end: `going` of all layers together.

    Args:
        masks: what they dropped stays dropped, and counts
        shares: of each layer, up to a common factor: the fraction of its weights that goes
        staying: `shares` are fractions that stay instead
        least: weights of each layer that stay whatever its share is. Where they allow less, less is dropped.
    """
    sizes = [mask.numel() for mask in masks.values()]
    dropped = [mask.numel() - int(mask.sum()) for mask in masks.values()]
    most = [max(gone, size - least[path]) for path, size, gone in zip(masks, sizes, dropped, strict=True)]
    going = min(going, sum(most))

    def at(factor: float) -> list[float]:
        """More of every layer the larger the factor is, within what must go and what may."""
        asked = (
            size * (1 - min(1.0, share / factor) if staying else share * factor)
            for size, share in zip(sizes, shares, strict=True)
        )
        return [min(max(low, one), high) for low, one, high in zip(dropped, asked, most, strict=True)]

    low, high = 0.0, 1.0
    while sum(at(high)) < going:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
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
