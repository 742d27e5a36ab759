"""Reading whole chunks of uint8 images pixel by pixel, three colours at once as one 32-bit word.

`gather` reads at whole rows and columns, `sample` at places between them. Images of other than one or three channels
are read channel by channel.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

Interpolation = Literal["nearest", "bilinear"]

GRAY_OR_RGB = (1, 3)
"""Numbers of channels of which a pixel is one word."""

_TOGETHER = 1 << 16
"""Pixels made at once on a CPU, so that its cache holds the floats between."""


def by_channel(function: Callable[..., Tensor], images: Tensor, *others: object) -> Tensor:
    """`function` of images (n, H, W, C) and others: of each channel by itself, where they are not packed."""
    if images.shape[3] in GRAY_OR_RGB:
        return function(images, *others)
    return torch.cat([function(one.contiguous(), *others) for one in images.split(1, 3)], 3)


def packed(images: Tensor) -> Tensor:
    """Images uint8 (n, H, W, C), contiguous, as one word a pixel: (n, H, W).

    Three colours make an int32, the first in the lowest byte, and the last byte means nothing; a gray value stays
    uint8.

    Raises:
        ValueError: images of other than 1 or 3 channels.
    """
    if images.shape[3] == 1:
        return images.squeeze(3)
    if images.shape[3] != 3:
        raise ValueError(f"images have 1 or 3 channels, not {images.shape[3]}")
    if not images.is_cpu:
        return torch.nn.functional.pad(images, (0, 1)).view(torch.int32).squeeze(3)
    flat = images.view(-1).numpy()
    words = np.empty(images.numel() // 3, np.int32)
    # Words of four bytes, three apart: each reads on into the next pixel, which the last one does not have.
    words[:-1] = np.ndarray(max(len(words) - 1, 0), np.int32, flat, strides=3)
    words[-1:].view(np.uint8)[:3] = flat[-3:]
    return torch.from_numpy(words).view(images.shape[:3])


def unpacked(words: Tensor) -> Tensor:
    """The images uint8 (n, H, W, C), contiguous, that `packed` makes these words of."""
    if words.dtype == torch.uint8:
        return words.contiguous().unsqueeze(3)
    if not words.is_cpu:
        return words.contiguous().unsqueeze(3).view(torch.uint8)[..., :3].contiguous()
    flat = words.reshape(-1).numpy()
    images = np.empty(3 * len(flat) + 1, np.uint8)
    # Written in ascending order, each word mends the byte that the one before it wrote too far.
    np.ndarray(len(flat), np.int32, images, strides=3)[:] = flat
    return torch.from_numpy(images[:-1]).view(*words.shape, 3)


def gather(images: Tensor, index: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """Copy pixels by integer coordinates: output k takes (rows[k, y, x], cols[k, y, x]) of image index[k]; 0 outside.

    On a CPU it is faster where rows depend on y alone and columns on x alone, as for shifts and flips: whole rows are
    copied first, then pixels within each.

    Args:
        images: uint8 (N, H, W, C), contiguous
        index: int64 (n,)
        rows: int64 (n, H, 1) or (n, H, W)
        cols: int64 (n, 1, W) or (n, H, W)

    Returns:
        uint8 (n, H, W, C), contiguous
    """
    height, width, channels = images.shape[1:]
    inside_rows, inside_cols = (rows >= 0) & (rows < height), (cols >= 0) & (cols < width)
    lines, cols = rows.clamp(0, height - 1) + height * index.view(-1, 1, 1), cols.clamp(0, width - 1)
    if not images.is_cpu or rows.shape[2] != 1 or cols.shape[1] != 1 or channels not in GRAY_OR_RGB:
        picked = images.flatten(0, 1)[lines, cols]
        return picked.mul_((inside_rows & inside_cols).unsqueeze(-1))

    picked = images.view(-1, width * channels).index_select(0, lines.view(-1))
    # numpy writes whole rows of an array at once, torch their elements.
    picked.numpy()[(~inside_rows).view(-1).numpy()] = 0
    words = packed(picked.view(len(index), -1, width, channels)).gather(2, cols.expand(-1, rows.shape[1], -1))
    return unpacked(words.mul_(inside_cols.to(words.dtype)))


def in_parts(function: Callable[..., Tensor], images: Tensor, *others: Tensor) -> Tensor:
    """`function` of images (n, H, W, ...) and of other tensors (n, ...): on a CPU, of a few images at a time."""
    if not images.is_cpu or not len(images):
        return function(images, *others)
    together = max(1, _TOGETHER // (images.shape[1] * images.shape[2]))
    return torch.cat(
        [function(*part) for part in zip(*(each.split(together) for each in (images, *others)), strict=True)]
    )


def as_bytes(values: Tensor) -> Tensor:
    """Floats from 0 to 255 truncated to uint8; by way of int16, for which a CPU has vector instructions."""
    return values.short().to(torch.uint8)


def sample(images: Tensor, grid: Tensor, interpolation: Interpolation, fill: Literal[0] | None = 0) -> Tensor:
    """Sample images at normalized positions, black outside, with the arithmetic and rounding of torchvision's warps.

    Args:
        images: uint8 (n, H, W, C), contiguous
        grid: float32 (n, H', W', 2), x before y; -1 and 1 are the outer edges of the image
        fill: as given to torchvision; with bilinear interpolation 0 darkens the edge twice, None once

    Returns:
        uint8 (n, H', W', C), contiguous
    """
    return by_channel(_sample, images, grid, interpolation, fill)


def _sample(images: Tensor, grid: Tensor, interpolation: Interpolation, fill: Literal[0] | None) -> Tensor:
    words, channels = packed(images), images.shape[3]
    if interpolation == "nearest" and channels == 3:
        # Words are only copied, so that any 32 bits may pass for a float.
        read = grid_sample(words.view(torch.float32).unsqueeze(1), grid, "nearest", "zeros", align_corners=False)
        return unpacked(read.view(torch.int32).squeeze(1))
    covered = fill is not None and interpolation == "bilinear"
    return in_parts(lambda *part: _blended(*part, interpolation, channels, covered), words, grid)


def _blended(words: Tensor, grid: Tensor, interpolation: Interpolation, channels: int, covered: bool) -> Tensor:
    """`sample` by planes of floats; if `covered`, weighted once more by how much of a place lies inside."""
    planes = words.new_ones((len(words), channels + covered, *words.shape[1:]), dtype=torch.float32)
    for channel in range(channels):
        planes[:, channel] = words.bitwise_right_shift(8 * channel).bitwise_and_(255)
    planes = grid_sample(planes, grid, interpolation, "zeros", align_corners=False)
    if covered:
        planes = planes[:, :-1].mul_(planes[:, -1:])
    first, *others = planes.round_().unbind(1)
    if not others:
        return unpacked(as_bytes(first))
    for place, channel in enumerate(others, 1):
        first.add_(channel, alpha=256**place)
    return unpacked(first.int())
