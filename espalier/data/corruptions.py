"""Test images made worse, as cameras, weather and files do it: the common corruptions of CIFAR-10-C.

After Hendrycks & Dietterich 2019 (arXiv 1903.12261). The strengths are the constants of the authors' script for 32x32
images, make_cifar_c.py of github.com/hendrycks/robustness; their widths are in pixels, so that larger images are
blurred less. The operations are our own: values are rounded where theirs are cut off, and motion blur is a Gaussian
along a line of pixels in the place of ImageMagick's.

Noise and angles are drawn from (corruption, strength, place of the image in its split), and sums are exact or of a
fixed order, so that an image is the same in batches of any size.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from espalier.seeding import key
from espalier.settings.types import Corruption, Strength

Places = Sequence[int]


def corrupted(images: Tensor, places: Places, name: Corruption, strength: Strength) -> Tensor:
    """The images under one corruption; those of equal channels keep them equal.

    Args:
        images: uint8 (b, C, H, W), on the CPU
        places: of each image in its split

    Returns:
        uint8 (b, C, H, W)
    """
    function, constants = _CORRUPTIONS[name]
    found = function(images, constants[strength - 1], _Draws(name, strength, places))
    return found if found.dtype == torch.uint8 else (255 * found).round().clamp(0, 255).to(torch.uint8)


class _Draws:
    """What is random about a batch, an image after the other."""

    def __init__(self, name: str, strength: int, places: Places) -> None:
        self._keys = [key("corruption", name, strength, place) for place in places]

    def uniform(self, low: float, high: float) -> Tensor:
        return torch.tensor([rng.uniform(low, high) for rng in self._generators()], dtype=torch.float64)

    def noise(self, images: Tensor, draw: Callable[[np.random.Generator, np.ndarray], np.ndarray]) -> Tensor:
        """Noise that `draw` makes for every image, float32 (C, H, W); the same in all channels of a gray image."""
        found = torch.empty(images.shape)
        for own, image, rng in zip(found, images.numpy(), self._generators(), strict=True):
            gray = (image == image[:1]).all()
            own[:] = torch.from_numpy(draw(rng, image[:1] if gray else image))
        return found

    def _generators(self) -> Iterator[np.random.Generator]:
        return (np.random.Generator(np.random.PCG64(each)) for each in self._keys)


def _unit(images: Tensor) -> Tensor:
    return images.float() / 255


def _gaussian_noise(images: Tensor, scale: float, draws: _Draws) -> Tensor:
    return _unit(images) + scale * draws.noise(images, lambda rng, image: rng.standard_normal(image.shape))


def _shot_noise(images: Tensor, photons: float, draws: _Draws) -> Tensor:
    return draws.noise(images, lambda rng, image: rng.poisson(image / 255 * photons)) / photons


def _impulse_noise(images: Tensor, share: float, draws: _Draws) -> Tensor:
    drawn = draws.noise(images, lambda rng, image: rng.random(image.shape))
    return torch.where(drawn < share / 2, 0.0, torch.where(drawn >= 1 - share / 2, 1.0, _unit(images)))


def _gaussian_blur(images: Tensor, sigma: float, _: _Draws) -> Tensor:
    reach = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    found = _unit(images)
    for dim in (2, 3):
        places = torch.arange(images.shape[dim])
        shifts = ((places + step).clamp(0, len(places) - 1) for step in range(-reach, reach + 1))
        found = _added(weights, [found.index_select(dim, shift) for shift in shifts])
    return found


def _motion_blur(images: Tensor, constants: tuple[int, float], draws: _Draws) -> Tensor:
    reach, sigma = constants
    weights = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    angle = draws.uniform(-np.pi / 4, np.pi / 4)
    height, width = images.shape[2:]
    which = torch.arange(len(images)).view(-1, 1, 1)

    def moved(step: int) -> Tensor:
        down, right = ((step * part).round().long() for part in (angle.sin(), angle.cos()))
        rows = (torch.arange(height) + down[:, None]).clamp(0, height - 1)[:, :, None]
        columns = (torch.arange(width) + right[:, None]).clamp(0, width - 1)[:, None, :]
        return whole[which, :, rows, columns].permute(0, 3, 1, 2)

    whole = _unit(images)
    return _added(weights, map(moved, range(reach + 1)))


def _added(weights: np.ndarray, parts: Iterable[Tensor]) -> Tensor:
    """A weighted sum, one part after the other."""
    return sum(float(weight) * part for weight, part in zip(weights, parts, strict=True))


def _brightness(images: Tensor, more: float, _: _Draws) -> Tensor:
    """More of the V of HSV, at the same hue and saturation."""
    found = _unit(images)
    value = found.amax(1, keepdim=True)
    brighter = (value + more).clamp(max=1)
    return torch.where(value > 0, found / value * brighter, brighter)


def _contrast(images: Tensor, factor: float, _: _Draws) -> Tensor:
    mean = images.sum((2, 3), keepdim=True, dtype=torch.int64) / (255 * images[0, 0].numel())
    return (_unit(images) - mean) * factor + mean


def _pixelate(images: Tensor, share: float, _: _Draws) -> Tensor:
    def coarse(image: Image.Image) -> Image.Image:
        small = [max(1, int(side * share)) for side in image.size]
        return image.resize(small, Image.Resampling.BOX).resize(image.size, Image.Resampling.BOX)

    return _each(images, coarse)


def _jpeg(images: Tensor, quality: int, _: _Draws) -> Tensor:
    def again(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _each(images, again)


def _each(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    """Images changed one by one, as Pillow's."""
    found = torch.empty_like(images, memory_format=torch.contiguous_format)
    for own, image in zip(found, images, strict=True):
        # Pillow would take two or four channels for gray or colours beside their opacity.
        for part, pixels in zip(*(each.split(3 if len(image) == 3 else 1) for each in (own, image)), strict=True):
            changed = change(Image.fromarray(pixels.permute(1, 2, 0).squeeze(2).contiguous().numpy()))
            part[:] = torch.from_numpy(np.atleast_3d(changed).copy()).permute(2, 0, 1)
    return found


_CORRUPTIONS: dict[str, tuple[Callable, tuple]] = {
    "gaussian_noise": (_gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
    "shot_noise": (_shot_noise, (500, 250, 100, 75, 50)),
    "impulse_noise": (_impulse_noise, (0.01, 0.02, 0.03, 0.05, 0.07)),
    "gaussian_blur": (_gaussian_blur, (0.4, 0.6, 0.7, 0.8, 1)),
    "motion_blur": (_motion_blur, ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))),
    "brightness": (_brightness, (0.05, 0.1, 0.15, 0.2, 0.3)),
    "contrast": (_contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
    "pixelate": (_pixelate, (0.95, 0.9, 0.85, 0.75, 0.65)),
    "jpeg": (_jpeg, (80, 65, 58, 50, 40)),
}
"""Corruption → what it does, and its constant at each strength."""
