"""Geometry as one integer gather: every output pixel is a source pixel, or black where it falls outside."""

import torch
from torch import Tensor


def gather(images: Tensor, index: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """Pixel (y, x) of output k is pixel (rows[k, y, x], cols[k, y, x]) of image index[k], 0 if that lies outside.

    Rows that depend on y alone and columns that depend on x alone, as of shifts and flips, take a faster way on
    a CPU: whole rows are copied first, then columns are gathered inside each.

    Args:
        images: uint8 (N, H, W, C), contiguous
        index: int64 (n,)
        rows: int64 (n, H, 1) or (n, H, W)
        cols: int64 (n, 1, W) or (n, H, W)

    Returns:
        uint8 (n, H, W, C), contiguous
    """
    height, width, channels = images.shape[1:]
    if images.is_cuda or rows.shape[2] != 1 or cols.shape[1] != 1:
        inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
        picked = images[index.view(-1, 1, 1), rows.clamp(0, height - 1), cols.clamp(0, width - 1)]
        return picked.mul_(inside.unsqueeze(-1))

    n, out_height, out_width = len(index), rows.shape[1], cols.shape[2]
    lines = (rows.clamp(0, height - 1) + index.view(-1, 1, 1) * height).view(-1)
    picked = images.view(-1, width * channels).index_select(0, lines).view(n, out_height, width * channels)
    across = cols.clamp(0, width - 1).view(n, out_width, 1) * channels + torch.arange(channels)
    picked = picked.gather(2, across.view(n, 1, -1).expand(-1, out_height, -1))
    picked.mul_(((rows >= 0) & (rows < height)).view(torch.uint8))
    inside = ((cols >= 0) & (cols < width)).view(torch.uint8).view(n, out_width, 1).expand(-1, -1, channels)
    return picked.mul_(inside.reshape(n, 1, -1)).view(n, out_height, out_width, channels)
