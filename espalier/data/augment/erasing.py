import numpy as np
import torch
from torch import Tensor

from espalier.data.box_masks import boxes
from espalier.data.operations import Normalized
from espalier.settings.registry import register
from espalier.settings.types import Count, Interval, Literal, Probability

_TOGETHER = 64 << 20
"""Bytes of 64-bit numbers of which a GPU makes noise at once; there are several of each."""


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
        inputs.flatten(2).mul_(square.neg_().add_(1))
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


class RandomErasing(Normalized):
    def __init__(
        self, p: float, scale: tuple[float, float], ratio: tuple[float, float], value: float | Literal["random"]
    ) -> None:
        if scale[1] > 1:
            raise ValueError(f"augment: random_erasing: scale ends at {scale[1]:g}, above 1, the whole image")
        self.p = p
        self.scale = scale
        self.ratio = ratio
        self.value = value

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor, ...]:
        """First row, row below, first column, column behind (all 0 leaves the image whole), and a seed for noise."""
        # Ten tries, as torchvision has them; an image none of whose rectangles fits stays whole.
        area = size**2 * rng.uniform(*self.scale, (10, count))
        aspect = np.exp(rng.uniform(*np.log(self.ratio), (10, count)))
        heights, widths = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
        fits = (heights < size) & (widths < size)
        first = fits.argmax(0), np.arange(count)
        erased = fits[first] & (rng.random(count) < self.p)
        height, width = (np.where(erased, sides[first], 0).astype(np.int64) for sides in (heights, widths))
        top, left = (rng.integers(0, np.where(erased, size - side + 1, 1)) for side in (height, width))
        seed = rng.integers(0, 1 << 31, count)
        return tuple(map(torch.from_numpy, (top, top + height, left, left + width, seed)))

    def apply(self, inputs: Tensor, *table: Tensor) -> Tensor:
        *edges, seed = table
        box = boxes(inputs.shape, *edges)
        rows = inputs.flatten(2).mul_(1 - box)
        if self.value == "random":
            rows.add_(noise(seed, box))
        elif self.value:
            rows.add_(box, alpha=self.value)
        return inputs


def noise(seed: Tensor, box: Tensor) -> Tensor:
    """Each seed's own `normal` numbers where its box (n, H, W) is 1, and 0 elsewhere."""
    count = box.shape[1] * box.shape[2]
    place = torch.arange(count, device=box.device)
    if not box.is_cpu:
        # A GPU would have to wait to learn which places these are.
        together = max(1, _TOGETHER // (8 * count))
        parts = zip(seed.view(-1, 1).split(together), box.flatten(1).split(together), strict=True)
        return torch.cat([normal(own, place, count).mul_(inside) for own, inside in parts]).view_as(box)
    sample, place = box.flatten(1).nonzero(as_tuple=True)
    drawn = torch.zeros_like(box)
    drawn.view(len(box), -1)[sample, place] = normal(seed[sample], place, count)
    return drawn


def normal(seed: Tensor, place: Tensor, count: int) -> Tensor:
    """The normally distributed float32 numbers of each seed at each place, 0 to `count`; seed and place broadcast."""
    uniforms = []
    for own in (place, place + count):
        # A hash of (seed, place): two rounds of multiplication and shift, 32 bits wide (Wellons' lowbias32).
        bits = (seed * 0x9E3779B1 + own) & 0xFFFFFFFF
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            bits = (bits ^ (bits >> shift)) * factor & 0xFFFFFFFF
        uniforms.append(((bits ^ (bits >> 16)) + 0.5) / (1 << 32))
    radius, angle = uniforms
    return (radius.log().mul_(-2).sqrt_() * (angle * (2 * torch.pi)).cos_()).float()


@register("augmentation", stage="normalized")
def random_erasing(
    *,
    p: Probability = 0.5,
    scale: Interval = (0.02, 0.33),
    ratio: Interval = (0.3, 3.3),
    value: float | Literal["random"] = 0.0,
) -> RandomErasing:
    """A rectangle over the normalized image, filled with one value (0 is the mean colour) or with noise (Zhong et al.
    2017, arXiv 1708.04896).

    Args:
        p: probability that an image is erased
        scale: the rectangle's area, as a share of the image's, is drawn from this interval
        ratio: its height over its width is drawn from this interval, evenly by logarithm
        value: what the rectangle is filled with; random is normal noise, pixel by pixel and channel by channel
    """
    return RandomErasing(p, scale, ratio, value)
