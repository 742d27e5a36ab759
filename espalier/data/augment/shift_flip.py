import numpy as np
import torch
from torch import Tensor

from espalier.data.operations import Geometry
from espalier.settings.registry import register
from espalier.settings.types import Count, Probability


class PadCrop(Geometry):
    def __init__(self, padding: int) -> None:
        self.padding = padding

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor, Tensor]:
        """Row and column of the window's corner in the padded image, relative to the image's own."""
        corners = rng.integers(-self.padding, self.padding, size=(2, count), endpoint=True)
        return tuple(torch.from_numpy(corners))

    def source(self, rows: Tensor, cols: Tensor, size: int, *table: Tensor) -> tuple[Tensor, Tensor]:
        down, right = table
        return rows + down, cols + right


@register("augmentation", stage="uint8")
def pad_crop(*, padding: Count = 2) -> PadCrop:
    """The image gets a black border, and a window of its own size is cut out at a random place.

    Args:
        padding: width of the border in pixels
    """
    return PadCrop(padding)


class HorizontalFlip(Geometry):
    def __init__(self, p: float) -> None:
        self.p = p

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor]:
        """Whether to flip."""
        return (torch.from_numpy(rng.random(count) < self.p),)

    def source(self, rows: Tensor, cols: Tensor, size: int, *table: Tensor) -> tuple[Tensor, Tensor]:
        return rows, torch.where(table[0], size - 1 - cols, cols)


@register("augmentation", stage="uint8")
def horizontal_flip(*, p: Probability = 0.5) -> HorizontalFlip:
    """The image mirrored left to right.

    Args:
        p: probability that an image is flipped
    """
    return HorizontalFlip(p)


class VerticalFlip(HorizontalFlip):
    def source(self, rows: Tensor, cols: Tensor, size: int, *table: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(table[0], size - 1 - rows, rows), cols


@register("augmentation", stage="uint8")
def vertical_flip(*, p: Probability = 0.5) -> VerticalFlip:
    """The image mirrored top to bottom.

    Args:
        p: probability that an image is flipped
    """
    return VerticalFlip(p)
