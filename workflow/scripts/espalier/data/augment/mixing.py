import numpy as np
import torch
from torch import Tensor

from espalier.data.boxes import boxes
from espalier.data.operations import Mixing
from espalier.plan.types import Positive
from espalier.registry import register


class Mixup(Mixing):
    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor]:
        """Weight of the image itself."""
        return (torch.from_numpy(rng.beta(self.alpha, self.alpha, count)).float(),)

    def mix(self, inputs: Tensor, partners: Tensor, *table: Tensor) -> tuple[Tensor, Tensor]:
        (weight,) = table
        own = weight.view(-1, 1, 1, 1)
        # Not lerp, whose rounding depends on how a kernel is vectorized, and so on the batch.
        return (inputs * own).add_(partners * (1 - own)), weight


@register("augmentation", stage="mixing")
def mixup(*, alpha: Positive = 1.0) -> Mixup:
    """The weighted mean of two images and of their labels (Zhang et al. 2018, arXiv 1710.09412).

    Args:
        alpha: the weight is drawn for each image from Beta(alpha, alpha)
    """
    return Mixup(alpha)


class Cutmix(Mixing):
    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor, ...]:
        """Edges of the pasted box (top, bottom, left, right), cut at the image's, and the area that stays."""
        side = (size * np.sqrt(1 - rng.beta(self.alpha, self.alpha, count))).astype(np.int64)
        low = rng.integers(0, size, size=(2, count)) - side // 2
        (top, left), (bottom, right) = low.clip(0, size), (low + side).clip(0, size)
        weight = 1 - (bottom - top) * (right - left) / size**2
        return (*map(torch.from_numpy, (top, bottom, left, right)), torch.from_numpy(weight).float())

    def mix(self, inputs: Tensor, partners: Tensor, *table: Tensor) -> tuple[Tensor, Tensor]:
        *edges, weight = table
        box = boxes(inputs.shape, *edges)
        return inputs.flatten(2).lerp(partners.flatten(2), box).view(inputs.shape), weight


@register("augmentation", stage="mixing")
def cutmix(*, alpha: Positive = 1.0) -> Cutmix:
    """A box of another image pasted in, and labels weighted by area (Yun et al. 2019, arXiv 1905.04899).

    Args:
        alpha: the area that stays, before the box is cut at the edges, is drawn from Beta(alpha, alpha)
    """
    return Cutmix(alpha)
