"""Colours and tones of whole chunks of uint8 images, a parameter an image, in torchvision's own arithmetic.

Each function takes uint8 images (n, H, W, C), contiguous, of one or three channels (brightness alone is defined for
others too, as `espalier.data.channel_rules` tells), and gives new ones; on a CPU
they equal those of `torchvision.transforms.v2.functional` bit for bit, up to 65,793 pixels (256 x 256; beyond it
the mean of `adjust_contrast` is rounded in an order that depends on the batch, which moves a value by one level at
most). Parameters are float64 (n,), because torchvision subtracts a factor from 1 before it rounds to float32.
Blends by `addcmul` equal torchvision's by `add` with alpha where both kernels of torch fuse, or neither: on x86 with
and without AVX2. Where one alone does, a value on the edge between two levels may be off by one.

In between, images are planes: float32 (n, C, H * W) of whole numbers, over which arithmetic is contiguous.
"""

import torch
from torch import Tensor

from espalier.data.sampling import packed, unpacked

_SIXTHS = 0xC03A5801 - (1 << 32)
"""What `turn` knows of each order of red, green and blue, four bits an order: see there."""
_BLOCK = 3 << 15
"""Pixels whose hues a CPU turns at once: few enough that all of the steps stay in its cache."""


def planes_of(images: Tensor) -> Tensor:
    """The channels of uint8 (n, H, W, C) as planes, float32 (n, C, H * W)."""
    n, height, width, channels = images.shape
    if channels != 3:
        return images.view(n, height * width, channels).transpose(1, 2).float()
    shifts = torch.arange(0, 24, 8, dtype=torch.int32, device=images.device).view(3, 1)
    return (packed(images).view(n, 1, height * width) >> shifts).bitwise_and_(255).float()


def images_of(planes: Tensor, shape: torch.Size) -> Tensor:
    """Planes of whole numbers from 0 to 255 as uint8 images of `shape`."""
    if planes.shape[1] != 3:
        return planes.transpose(1, 2).to(torch.uint8).reshape(shape)
    red, green, blue = planes.unbind(1)
    return unpacked(red.add(green, alpha=1 << 8).add_(blue, alpha=1 << 16).int().view(shape[:3]))


def brighten(planes: Tensor, factor: Tensor) -> Tensor:
    """Each value times the image's factor (n,), in place."""
    return planes.mul_(_column(factor)).clamp_(0, 255).floor_()


def contrast(planes: Tensor, factor: Tensor) -> Tensor:
    """Each value moved from the image's mean gray, or to it, in place."""
    gray = _gray(planes)
    return _blend(planes, gray.copy_(gray.mean(1, keepdim=True)), factor)


def saturate(planes: Tensor, factor: Tensor) -> Tensor:
    """Each value moved from its pixel's gray, or to it, in place."""
    return planes if planes.shape[1] == 1 else _blend(planes, _gray(planes), factor)


def turn(planes: Tensor, hue: Tensor) -> Tensor:
    """Hues turned by a part (n,) of the circle, in place.

    torchvision's way through hue, saturation and value leaves a pixel's highest and lowest value as they were, to
    the bit; only the middle one is new, and which channel has which. So the middle one alone is computed, in the
    same steps. With c how far the middle value lies below the highest, as a share of their range, the hue in sixths
    is (odd ? c : -c) + offset - odd; `_SIXTHS` holds offset, and odd as the fourth bit.
    """
    if planes.shape[1] == 3:
        block = max(1, _BLOCK // planes.shape[2]) if planes.is_cpu else len(planes)
        for part, own in zip(planes.split(block), hue.float().view(-1, 1).split(block), strict=True):
            _turn(*part.unbind(1), own)
    return planes


def _turn(red: Tensor, green: Tensor, blue: Tensor, hue: Tensor) -> None:
    above, below = red.maximum(green), red.minimum(green)
    high, low, middle = above.maximum(blue), below.minimum(blue), below.maximum(above.minimum(blue))
    # Signs of the three differences, as bits 4, 3 and 2: four times the order's number.
    order = (red - green).view(torch.int32).bitwise_right_shift_(31).mul_(-16)
    order.add_((green - blue).view(torch.int32).bitwise_right_shift_(31), alpha=-8)
    order.add_((red - blue).view(torch.int32).bitwise_right_shift_(31), alpha=-4)
    sixths = torch.bitwise_right_shift(_SIXTHS, order)
    offset, odd = (sixths & 7).float(), sixths.bitwise_right_shift_(3).bitwise_and_(1).float()

    value = high * (1 / 255)
    span = value - low * (1 / 255)
    # Nothing below changes black and gray pixels, whatever they are divided by.
    saturation = span / value.clamp_(min=1e-3)
    # Products by 0, 1 or a power of 2 are exact, and so may be fused with a sum.
    h = middle.mul_(1 / 255).sub_(value).div_(span.clamp_(min=1e-3))
    h.addcmul_(h, odd, value=-2).add_(offset).sub_(odd)
    h.mul_(1 / 6).add_(1).frac_().add_(hue)
    h.sub_(h.floor()).mul_(6)
    sixth = h.floor()
    falling = (sixth * 0.5).frac_()
    share = h.sub_(sixth).mul_(saturation)
    share.addcmul_(share, falling, value=-4)
    new = share.add_(saturation.addcmul_(saturation, falling, value=-2).neg_().add_(1))
    new.mul_(value).mul_(255.999).floor_()

    # Bent over the circle by 512 a sixth: where that is above or below 0, a channel is the highest or the lowest.
    sixth.mul_(512)
    raised, lowered = new + 768, new.sub_(768)
    torch.clamp((sixth - 1280).abs_().add_(lowered), low, high, out=red)
    torch.clamp((sixth - 768).abs_().neg_().add_(raised), low, high, out=green)
    torch.clamp(sixth.sub_(1792).abs_().neg_().add_(raised), low, high, out=blue)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    return images.float().mul_(factor.float().view(-1, 1, 1, 1)).clamp_(0, 255).to(torch.uint8)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    return images_of(contrast(planes_of(images), factor), images.shape)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    return images_of(saturate(planes_of(images), factor), images.shape)


def adjust_hue(images: Tensor, factor: Tensor) -> Tensor:
    return images_of(turn(planes_of(images), factor), images.shape)


def rgb_to_grayscale(images: Tensor) -> Tensor:
    """The images in gray, with as many channels as before."""
    planes = planes_of(images)
    return images_of(_gray(planes).unsqueeze(1).expand_as(planes), images.shape)


def _column(factor: Tensor) -> Tensor:
    return factor.float().view(-1, 1, 1)


def _gray(planes: Tensor) -> Tensor:
    """Whole gray values (n, H * W)."""
    if planes.shape[1] == 1:
        return planes[:, 0].clone()
    red, green, blue = planes.unbind(1)
    return red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).floor_()


def _blend(planes: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    planes.mul_(_column(factor)).addcmul_(other.unsqueeze(1), _column(1 - factor))
    return planes.clamp_(0, 255).floor_()
