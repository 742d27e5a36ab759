"""Rectangles of a batch as one mask of ones and zeros.

Arithmetic with it is several times faster on a CPU than masked_fill or where, which do not vectorize there.
"""

import torch
from torch import Tensor


def boxes(shape: tuple[int, ...], top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """1 inside each image's rectangle and 0 elsewhere: float32 (n, H, W * C) for images of `shape` (n, H, W, C).

    Args:
        top: first row inside (n,); may lie outside of the image, as may the others
        bottom: first row below (n,)
        left: first column inside (n,)
        right: first column behind (n,)
    """
    _, height, width, channels = shape
    row = torch.arange(height, device=top.device).view(1, -1, 1)
    column = (torch.arange(width * channels, device=top.device) // channels).view(1, 1, -1)
    top, bottom, left, right = (edge.view(-1, 1, 1) for edge in (top, bottom, left, right))
    return ((row >= top) & (row < bottom)).float() * ((column >= left) & (column < right)).float()
