import numpy as np
import torch
from torch import Tensor

from espalier.data.operations import Geometry, Operation, Pixels
from espalier.data.resizing import resized_crop
from espalier.settings.registry import register
from espalier.settings.types import Interval, Literal

_TRIES = 10
"""How often a window is drawn until it lies inside of the image."""


class RandomWindow(Operation):
    def __init__(self, scale: tuple[float, float], ratio: tuple[float, float]) -> None:
        self.scale = scale
        self.ratio = ratio

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor, ...]:
        """Top, left, height and width of the windows."""
        height, width = np.zeros((2, count), np.int64)
        open_ = np.arange(count)
        for _ in range(_TRIES):
            area = size * size * rng.uniform(*self.scale, len(open_))
            ratio = np.exp(rng.uniform(*np.log(self.ratio), len(open_)))
            wide, high = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
            fits = (wide > 0) & (wide <= size) & (high > 0) & (high <= size)
            width[open_[fits]], height[open_[fits]] = wide[fits], high[fits]
            open_ = open_[~fits]
        corner = rng.integers(0, size + 1 - np.stack([height, width]))
        low, high = self.ratio
        width[open_] = max(1, round(size * high)) if high < 1 else size
        height[open_] = max(1, round(size / low)) if low > 1 else size
        corner[:, open_] = (size - np.stack([height, width])[:, open_]) // 2
        return tuple(map(torch.from_numpy, (*corner, height, width)))


class ResizedCrop(RandomWindow, Pixels):
    def apply(self, images: Tensor, *table: Tensor) -> Tensor:
        return resized_crop(images, *table)


class NearestResizedCrop(RandomWindow, Geometry):
    def source(self, rows: Tensor, cols: Tensor, size: int, *table: Tensor) -> tuple[Tensor, Tensor]:
        top, left, height, width = table
        # The step is rounded to float32 first, as torch's own.
        return tuple(
            torch.where(line < 0, line, start + (line * (length.float() / size)).floor().long())
            for line, start, length in ((rows, top, height), (cols, left, width))
        )


@register("augmentation", stage="uint8")
def random_resized_crop(
    *,
    scale: Interval = (0.08, 1.0),
    ratio: Interval = (0.75, 1.3333333333333333),
    interpolation: Literal["nearest", "bilinear"] = "bilinear",
) -> ResizedCrop | NearestResizedCrop:
    """A random window of the image, resized to the image's own size (Szegedy et al. 2015, arXiv 1409.4842).

    Args:
        scale: the window's area, as a share of the image's, is drawn from this interval
        ratio: its width over its height is drawn from this interval, evenly by logarithm
        interpolation: the nearest pixel, or the weighted mean of those around
    """
    return (ResizedCrop if interpolation == "bilinear" else NearestResizedCrop)(scale, ratio)
