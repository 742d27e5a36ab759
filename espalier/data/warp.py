"""Affine and perspective warps of whole chunks of uint8 images, a matrix an image, in torchvision's own arithmetic.

Places are float32, multiplied and added one after the other in operations of their own, so that nothing fuses them, and
pixels are read by the same `grid_sample`. torchvision's places come from a matrix product, which some processors and
GPUs fuse. Of 20,000 images of 32×32, torchvision's have the same bits where MKL does not fuse it (an AMD EPYC). Where
it is fused, as for Intel, 1 in 10 million nearest values is the neighbouring pixel's, and 1 in 70,000 bilinear ones is
off by one level.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from espalier.data.sampling import Interpolation, sample

_FAR = 1e6
"""A normalized coordinate outside of every image; -1 to 1 are inside."""


def inverse_affine(
    angle: ArrayLike, translate: ArrayLike, scale: ArrayLike, shear: ArrayLike, center: tuple[float, float] = (0, 0)
) -> Tensor:
    """The matrices that lead from output to input pixels: float32 (n, 2, 3), as `affine` takes them.

    All but `center` are of one image or of all, and broadcast. To rotate as `v2.functional.rotate` does, pass
    `-(angle % 360)`.

    Args:
        angle: degrees, (n,)
        translate: pixels to the right and down, (n, 2)
        scale: (n,)
        shear: degrees along x and y, (n, 2)
        center: x and y of the fixed point, in pixels from the middle of the image
    """
    radians = math.pi / 180
    rotation = np.asarray(angle, np.float64) * radians
    shear_x, shear_y = np.moveaxis(np.asarray(shear, np.float64) * radians, -1, 0)
    right, down = np.moveaxis(np.asarray(translate, np.float64), -1, 0)
    scale = np.asarray(scale, np.float64)

    cos_shear, tan_shear = _exactly(math.cos, shear_y), _exactly(math.tan, shear_x)
    a = _exactly(math.cos, rotation - shear_y) / cos_shear
    b = -(a * tan_shear + _exactly(math.sin, rotation))
    c = _exactly(math.sin, rotation - shear_y) / cos_shear
    d = _exactly(math.cos, rotation) - c * tan_shear
    linear = (d / scale, -b / scale), (-c / scale, a / scale)
    x, y = center
    rows = [(p, q, middle - p * (x + right) - q * (y + down)) for (p, q), middle in zip(linear, center, strict=True)]
    cells = np.broadcast_arrays(*(cell for row in rows for cell in row))
    return torch.from_numpy(np.stack(cells, -1).reshape(-1, 2, 3)).float()


def affine(
    images: Tensor, matrices: Tensor, fill: Literal[0] | None = 0, interpolation: Interpolation = "nearest"
) -> Tensor:
    """Images warped as by `v2.functional.affine` and `rotate`; what comes from outside is black.

    Args:
        images: uint8 (n, H, W, C), contiguous
        matrices: float32 (n, 2, 3) or (n, 6), from output to input pixels
        fill: what torchvision is given; between pixels, 0 darkens the edge twice and None once
    """
    height, width = images.shape[1:3]
    line = torch.arange(max(height, width), device=images.device)
    grid = affine_grid(matrices, line[:height].view(1, -1, 1), line[:width].view(1, 1, -1), (height, width))
    return sample(images, grid, interpolation, fill)


def affine_grid(matrices: Tensor, rows: Tensor, cols: Tensor, size: tuple[int, int]) -> Tensor:
    """Normalized places in images of `size` that the output pixels at (rows, cols) come from: (n, H, W, 2)."""
    height, width = size
    theta = matrices.view(-1, 2, 3) / _halves(matrices, size)
    theta = theta.view(-1, 2, 3, 1, 1)
    x, y = (cols - 0.5 * (width - 1)).unsqueeze(1), (rows - 0.5 * (height - 1)).unsqueeze(1)
    across = (x * theta[:, :, 0]).masked_fill_((cols < 0).unsqueeze(1), _FAR)
    along = (y * theta[:, :, 1]).masked_fill_((rows < 0).unsqueeze(1), _FAR)
    return (across + along).add_(theta[:, :, 2]).permute(0, 2, 3, 1)


def perspective_coefficients(starts: ArrayLike, ends: np.ndarray) -> Tensor:
    """The perspectives that lead from corners `ends` of the output to corners `starts` of the input: float32 (n, 8).

    Args:
        starts: x and y of four corners in pixels, (4, 2)
        ends: likewise, (n, 4, 2)
    """
    count = len(ends)
    (u, v), (x, y) = np.moveaxis(np.broadcast_to(starts, ends.shape), -1, 0), np.moveaxis(ends, -1, 0)
    zero, one = np.zeros_like(x), np.ones_like(x)
    equations = np.stack([x, y, one, zero, zero, zero, -u * x, -u * y, zero, zero, zero, x, y, one, -v * x, -v * y], -1)
    equations = torch.from_numpy(equations.reshape(count, 8, 8)).double()
    places = torch.from_numpy(np.stack([u, v], -1).reshape(count, 8, 1)).double()
    return torch.linalg.lstsq(equations, places, driver="gels").solution.float().view(count, 8)


def perspective_grid(coefficients: Tensor, rows: Tensor, cols: Tensor, size: tuple[int, int]) -> Tensor:
    """Like `affine_grid`, of perspectives as `v2.functional.perspective` takes them: float32 (n, 8)."""
    upper = coefficients[:, :6].view(-1, 2, 3) / _halves(coefficients, size)
    upper = upper.view(-1, 2, 3, 1, 1)
    x, y = (cols + 0.5).unsqueeze(1), (rows + 0.5).unsqueeze(1)
    lower = coefficients[:, 6:].view(-1, 2, 1, 1, 1)
    grid = (x * upper[:, :, 0] + y * upper[:, :, 1]).add_(upper[:, :, 2])
    grid.div_((x * lower[:, 0] + y * lower[:, 1]).add_(1.0)).sub_(1.0)
    return grid.masked_fill_(((rows < 0) | (cols < 0)).unsqueeze(1), _FAR).permute(0, 2, 3, 1)


def _halves(like: Tensor, size: tuple[int, int]) -> Tensor:
    """Half of width and height, (2, 1), of the device and type of `like`.

    It is made on the device, since copying a list to a GPU makes the host wait.
    """
    height, width = size
    halves = like.new_full((2, 1), 0.5 * height)
    halves[0] = 0.5 * width
    return halves


def _exactly(function: Callable[[float], float], values: np.ndarray) -> np.ndarray:
    """`math`'s function of every value: numpy's own differ in the last bit, by processor."""
    return np.fromiter(map(function, values.ravel().tolist()), np.float64, values.size).reshape(values.shape)
