import numpy as np
import torch
from torch import Tensor

from espalier.data.colour_arithmetic import brighten, contrast, images_of, planes_of, rgb_to_grayscale, saturate, turn
from espalier.data.grouping import grouped
from espalier.data.operations import Pixels
from espalier.settings.registry import register
from espalier.settings.types import NonNegative, Probability, Turn


class ColorJitter(Pixels):
    def __init__(self, brightness: float, contrast_: float, saturation: float, hue: float) -> None:
        ranges = [
            (operation, max(0, 1 - spread), 1 + spread)
            for operation, spread in ((brighten, brightness), (contrast, contrast_), (saturate, saturation))
            if spread
        ]
        if hue:
            ranges.append((turn, -hue, hue))
        self.operations = [operation for operation, _, _ in ranges]
        self._low = [low for _, low, _ in ranges]
        self._high = [high for _, _, high in ranges]

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor, Tensor]:
        """Operations in the order in which they are applied, and their factors."""
        order = rng.permuted(np.tile(np.arange(len(self.operations)), (count, 1)), axis=1)
        factors = rng.uniform(self._low, self._high, order.shape)
        return torch.from_numpy(order), torch.from_numpy(np.take_along_axis(factors, order, 1))

    def apply(self, images: Tensor, *table: Tensor) -> Tensor:
        order, factors = table
        if not self.operations:
            return images
        return images_of(grouped(planes_of(images), order, self.operations, factors), images.shape)


@register(
    "augmentation",
    stage="uint8",
    requires={
        "channels == 3 or (saturation == 0 and hue == 0)": "saturation and hue need RGB images; leave them out",
        "channels == 1 or channels == 3 or contrast == 0": "contrast needs gray or RGB images; leave it out",
    },
)
def color_jitter(
    *,
    brightness: NonNegative = 0.0,
    contrast: NonNegative = 0.0,
    saturation: NonNegative = 0.0,
    hue: Turn = 0.0,
) -> ColorJitter:
    """Brightness, contrast, saturation and hue changed at random, in an order drawn for each image.

    Gray images get brightness and contrast alone, images of other numbers of channels brightness alone.

    Args:
        brightness: the factor is drawn from 1 - brightness, but at least 0, to 1 + brightness
        contrast: the factor is drawn from 1 - contrast, but at least 0, to 1 + contrast
        saturation: the factor is drawn from 1 - saturation, but at least 0, to 1 + saturation
        hue: the part of the colour circle to turn by is drawn from -hue to hue
    """
    return ColorJitter(brightness, contrast, saturation, hue)


class Grayscale(Pixels):
    def __init__(self, p: float) -> None:
        self.p = p

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor]:
        """Whether to take the colour out."""
        return (torch.from_numpy(rng.random(count) < self.p),)

    def apply(self, images: Tensor, *table: Tensor) -> Tensor:
        return grouped(images, table[0].long().view(-1, 1), (lambda each: each, rgb_to_grayscale))


@register("augmentation", stage="uint8", requires={"channels == 3": "needs RGB images; leave it out"})
def grayscale(*, p: Probability = 0.1) -> Grayscale:
    """The image in gray, with as many channels as before.

    Args:
        p: probability that an image loses its colour
    """
    return Grayscale(p)
