"""Cast to float and normalization by channel, in one pass over contiguous rows."""

from collections.abc import Sequence

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
