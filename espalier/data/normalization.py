"""Cast to float and normalization by channel: alone, or compiled together with the gather of whole rows and columns."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor


class Normalization:
    """uint8 (n, H, W, C) to (x / 255 - mean) / std as float32 of the same shape.

    Its numbers are `scale` and `shift`, float32 (W * C,): x * scale + shift.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], width: int, device: torch.device) -> None:
        mean, std = torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64)
        # A channel that never varies is centred and nothing else.
        std = torch.where(std > 0, std, 1.0)
        # Repeated over a row of pixels: three channels alone are too short a vector for a CPU.
        self.scale = (1 / (255 * std)).float().repeat(width).to(device)
        self.shift = (-mean / std).float().repeat(width).to(device)

    def __call__(self, images: Tensor) -> Tensor:
        # Two operations, not a fused multiply-add, whose rounding would depend on how a kernel is vectorized.
        return images.flatten(2).float().mul_(self.scale).add_(self.shift).view(images.shape)

    def gathered(self, images: Tensor, index: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
        """What `gather` makes of the same arguments, normalized, to the bit; on a CPU in one pass over the images.

        Args:
            images: uint8 (N, H, W, C), contiguous
            index: int64 (n,)
            rows: int64 (n, H, 1)
            cols: int64 (n, 1, W)

        Returns:
            float32 (n, H, W, C)
        """
        out = torch.empty((len(index), *images.shape[1:]))
        arrays = images.flatten(2), index, rows.flatten(1), cols.flatten(1), self.scale, self.shift, out.flatten(2)
        # Each order in memory would be compiled by itself.
        _compiled()(*(each.contiguous().numpy() for each in arrays))
        return out


@cache
def _compiled() -> Callable[..., None]:
    """`_gather` as machine code, kept between processes where there is a folder to write to.

    Importing numba and reading the code take 0.9 CPU-seconds, compiling 1 more. A product and a sum are never fused.
    """
    import numba

    try:
        return numba.njit(_gather, cache=True)
    except RuntimeError:
        return numba.njit(_gather)


def _gather(images, index, rows, cols, scale, shift, out):
    height, span = images.shape[1:]
    width = cols.shape[1]
    channels = span // width
    black = np.zeros(span, np.uint8)
    # A normalized row, and behind it a black pixel for what comes from outside.
    row = np.empty(span + channels, np.float32)
    for channel in range(channels):
        row[span + channel] = np.float32(0) * scale[channel] + shift[channel]
    # Unsigned: an index that might be negative is looked at before each use.
    places = np.empty(span, np.uint64)
    for k in range(len(index)):
        image = images[index[k]]
        for x in range(width):
            source = cols[k, x] if 0 <= cols[k, x] < width else width
            for channel in range(channels):
                places[x * channels + channel] = source * channels + channel
        for y in range(height):
            line = image[rows[k, y]] if 0 <= rows[k, y] < height else black
            for place in range(span):
                row[place] = np.float32(line[place]) * scale[place] + shift[place]
            made = out[k, y]
            for place in range(span):
                made[place] = row[places[place]]
