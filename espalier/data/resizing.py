"""Crops of whole chunks of uint8 images resized to the images' own size, another window for each.

Bit-equal to `torchvision.transforms.v2.functional.resized_crop` on a CPU that resizes uint8 itself (x86 with AVX2,
and ARM). Elsewhere torchvision goes by float32 and rounds once, not after columns and again after rows; its own
images then differ from these, and from its own on such a CPU, in one value of six and by one level at most.
"""

from functools import partial

import torch
from torch import Tensor

from espalier.data.sampling import as_bytes, by_channel, in_parts, packed, unpacked
from espalier.site.device import exact

_LEVELS = 1 << 14
"""Weights are rounded to whole parts of this, as torch's uint8 kernel does, so that float32 sums are exact."""


def resized_crop(images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Windows inside of the images, resized by bilinear interpolation.

    Args:
        images: uint8 (n, S, S, C), contiguous
        top, left: int64 (n,), the window's corner
        height, width: int64 (n,), 1 to S
    """
    return by_channel(partial(in_parts, _resized_crop), images, top, left, height, width)


def _resized_crop(images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    words = packed(images)
    n, size, _ = words.shape
    cols, weight = _neighbours(left, width, size)
    weight = weight.repeat_interleave(words.element_size(), 1).unsqueeze(1)
    chosen = (words.gather(2, each.unsqueeze(1).expand(-1, size, -1)).view(torch.uint8) for each in cols)
    lines = unpacked(_blended(*chosen, weight).view(words.dtype)).view(n * size, -1)
    rows, weight = _neighbours(top, height, size)
    start = size * torch.arange(n, device=images.device).view(-1, 1)
    chosen = (lines.index_select(0, (start + each).view(-1)).view(n, size, -1) for each in rows)
    return _blended(*chosen, weight.unsqueeze(2)).view(images.shape)


def _neighbours(start: Tensor, length: Tensor, size: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The two source pixels (n, size) of each output pixel along one axis, and the weight of the second."""
    length = length.view(-1, 1)
    center = (length.to(exact(length.device)) / size) * (torch.arange(size, device=start.device) + 0.5)
    first = (center - 0.5).long()
    near, far = (1 - (first + step - center + 0.5).abs() for step in (0, 1))
    far = torch.where(first + 1 < length, far.clamp_min(0), 0)
    weight = (0.5 + far / (near + far) * _LEVELS).long() / _LEVELS
    second = torch.minimum(first + 1, length - 1)
    start = start.view(-1, 1)
    return (start + first, start + second), weight.float()


def _blended(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """The weighted mean of bytes, rounded; float32 holds it exactly, however it is computed."""
    return as_bytes(torch.lerp(first.float(), second.float(), weight).add_(0.5))
