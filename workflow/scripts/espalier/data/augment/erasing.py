import numpy as np
import torch
from torch import Tensor

from espalier.data.boxes import boxes
from espalier.data.operations import Normalized
from espalier.plan.types import Count, Probability
from espalier.registry import register


class Cutout(Normalized):
    def __init__(self, size: int, p: float) -> None:
        self.size = size
        self.p = p

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """First row, first column and side of the square; a side of 0 leaves the image whole."""
        top, left = torch.from_numpy(rng.integers(0, size, size=(2, count)) - self.size // 2)
        return top, left, torch.from_numpy(np.where(rng.random(count) < self.p, self.size, 0))

    def apply(self, inputs: Tensor, *table: Tensor) -> Tensor:
        top, left, side = table
        square = boxes(inputs.shape, top, top + side, left, left + side)
        inputs.flatten(2).mul_(1 - square)
        return inputs


@register("augmentation", stage="normalized")
def cutout(*, size: Count = 8, p: Probability = 1.0) -> Cutout:
    """A square of the mean colour over the normalized image, centred on any pixel, so that part of it may
    lie outside (DeVries & Taylor 2017, arXiv 1708.04552).

    Args:
        size: side of the square in pixels
        p: probability that an image is cut
    """
    return Cutout(size, p)
