"""Tone curves and sharpness of whole chunks of uint8 images, in torchvision's own arithmetic.

Each function takes uint8 images (n, H, W, C), contiguous, and gives new ones, equal to those of
`torchvision.transforms.v2.functional` bit for bit; parameters are (n,). Whole numbers stay below 2^24, where
float32 is exact: images may have up to that many pixels.
"""

import torch
from torch import Tensor

from espalier.data.colour_arithmetic import images_of, planes_of


def invert(images: Tensor) -> Tensor:
    return images.bitwise_not()


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Only the highest `bits` of each value, 0 to 8."""
    return images & (256 - (256 >> bits.int())).to(torch.uint8).view(-1, 1, 1, 1)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Values inverted from `threshold` on, a float64 of at most 255."""
    least = threshold.float().ceil().to(torch.int16).view(-1, 1, 1, 1)
    # All ones below the threshold: shifts vectorize where comparisons do not.
    below = (images.to(torch.int16) - least).bitwise_right_shift_(8).to(torch.uint8)
    return below.bitwise_not_().bitwise_xor_(images)


def autocontrast(images: Tensor) -> Tensor:
    """Each channel stretched from its lowest and highest value to 0 and 255."""
    planes = planes_of(images)
    low, high = planes.amin(2, keepdim=True), planes.amax(2, keepdim=True)
    flat = high == low
    scale = (high - low).mul_(1 / 255).masked_fill_(flat, 1)
    return images_of(planes.sub_(low.masked_fill_(flat, 0)).div_(scale).clamp_(0, 255).floor_(), images.shape)


def equalize(images: Tensor) -> Tensor:
    """Each channel through the look-up table that makes its histogram even, PIL's."""
    n, height, width, channels = images.shape
    bins = torch.arange(n * channels, dtype=torch.int32, device=images.device).mul_(256).view(n, 1, channels)
    # Repeated over a row of pixels: three channels alone are too short a vector for a CPU.
    places = (images.view(n, height, -1) + bins.expand(-1, width, -1).reshape(n, 1, -1)).view(-1)
    below = torch.bincount(places, minlength=n * channels * 256).view(-1, 256).cumsum(1).float()
    # As many pixels as are not of the highest value that occurs.
    others = (below * (below < height * width)).amax(1, keepdim=True)
    step = (others / 255).floor_()
    levels = torch.arange(256.0, device=images.device).repeat(n * channels, 1)
    curve = (below[:, :-1] + (step / 2).floor_()).div_(step.clamp(min=1)).floor_().clamp_(max=255)
    even = (step > 0).float()
    levels[:, 1:].lerp_(curve, even)
    return levels.to(torch.uint8).view(-1).index_select(0, places).view(images.shape)


def adjust_sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Each pixel moved from the smoothed image, or to it; the outermost rows and columns stay.

    Args:
        factor: float64 (n,); 0 is smoothed, 1 the image itself
    """
    n, height, width, channels = images.shape
    sharpened = images.clone()
    if height <= 2 or width <= 2:
        return sharpened
    values = images.view(n, height, -1).to(torch.int16)
    across = values[:, :, : -2 * channels] + values[:, :, channels:-channels]
    across += values[:, :, 2 * channels :]
    total = across[:, :-2] + across[:, 1:-1]
    total += across[:, 2:]
    inner = values[:, 1:-1, channels:-channels]
    total.add_(inner, alpha=4)
    # The weights are 1 / 13 and 5 / 13: no sum lies midway between two whole numbers, however it is rounded.
    inner = inner.float()
    change = total.float().mul_(1 / 13).round_().sub_(inner)
    inner.addcmul_(change, (1 - factor).float().view(-1, 1, 1)).clamp_(0, 255)
    sharpened[:, 1:-1, 1:-1] = inner.to(torch.uint8).view(n, height - 2, width - 2, channels)
    return sharpened
