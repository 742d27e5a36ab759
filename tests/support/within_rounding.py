"""Checks that pixels are torchvision's up to rounding, on any processor.

torchvision computes in float32, and products and sums are fused on some processors and not on others. So its own images
differ: where a place lies between two pixels, either may be read, and a value close to a half or to a whole number may
be rounded or cut to either side. The functions here know the values before that, in float64. They allow another pixel
or level only where the rounding of float32 explains it, on any processor; all else is wrong.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional
from torchvision.transforms.v2.functional import _geometry as torchvisions

REACH = 2**-20
"""How far a place may be off, as a share of the image's side: 16 roundings by 2^-24. Of ten million places of the
tests' kinds, in images of 7 to 224 pixels, the worst was off by 12."""
LEVEL = 2**-10
"""How far the mean of four pixels at a known place may be off, in levels; the last bit of 255 is worth 2^-16."""
BLENDED = 2**-12
"""How far the blend of an image with another may be off, in levels: six roundings of 637, the highest in the tests."""


def affine_places(size: int, rows: Iterable[Sequence], center: Sequence[float] = (0.0, 0.0)) -> Tensor:
    """Where the pixels of warped images come from, float64 (n, size, size, 2), as torchvision's grids have it.

    Args:
        rows: angle, translation, scale and shear of each image, as `functional.affine` takes them
        center: x and y of the fixed point, in pixels from the middle of the image
    """
    matrices = (torchvisions._get_inverse_affine_matrix(list(center), *row) for row in rows)
    thetas = (torch.tensor(matrix, dtype=torch.float64).view(1, 2, 3) for matrix in matrices)
    return torch.cat([torchvisions._affine_grid(theta, size, size, size, size) for theta in thetas])


def perspective_places(size: int, coefficients: Iterable[Sequence[float]]) -> Tensor:
    """The same for perspectives, eight coefficients an image."""
    return torch.cat([torchvisions._perspective_grid(row, size, size, torch.float64, "cpu") for row in coefficients])


def read(images: Tensor, places: Tensor, interpolation: str, fill: float | None) -> Tensor:
    """Images uint8 (n, H, W, C) at `places`, not rounded: float64 (n, H, W, C)."""
    planes = images.permute(0, 3, 1, 2).double()
    return torchvisions._apply_grid_transform(planes, places, interpolation, fill).permute(0, 2, 3, 1)


def wrong_in_warps(
    found: Tensor, source: Tensor, places: Tensor, interpolation: str, fill: float | None, exact: Tensor
) -> Tensor:
    """Which values of `found` are not those of a warp of `source`: bool (n, H, W, C).

    Args:
        found: uint8 (n, H, W, C)
        source: uint8 (n, H, W, C)
        places: float64 (n, H, W, 2)
        exact: what torchvision's public function makes of `source` in float64: it proves that `places` are its own
    """
    assert torch.equal(read(source, places, interpolation, fill), exact)
    wrong = torch.ones_like(found, dtype=torch.bool)
    # In torchvision's grids an image is 2 wide.
    for move in 2 * REACH * torch.cartesian_prod(*[torch.tensor([0.0, -1, 1]).double()] * 2):
        wrong &= (found - read(source, places + move, interpolation, fill)).abs() > 0.5 + LEVEL
    return wrong


def wrong_in_colours(found: Tensor, source: Tensor, name: str, *parameter: float) -> Tensor:
    """Which values of `found` are not those of a function of colours of one image: bool (H, W, C).

    Args:
        found: uint8 (H, W, C)
        source: uint8 (H, W, C)
        name: of a function of `torchvision.transforms.v2.functional`
    """
    planes = source.permute(2, 0, 1).contiguous()
    expected = getattr(functional, name)(planes, *parameter).expand_as(planes).permute(1, 2, 0)
    if name not in _OTHERS:
        # On every processor the same operations in the same order, or exact ones.
        return found != expected
    factor, other = parameter[0], _OTHERS[name](planes).double()
    exact = (factor * planes.double() + (1 - factor) * other).permute(1, 2, 0)
    low, high = (each.floor().clamp(0, 255) for each in (exact - BLENDED, exact + BLENDED))
    assert ((low <= expected) & (expected <= high)).all()
    return (found < low) | (high < found)


_OTHERS = {
    "adjust_contrast": lambda planes: functional.rgb_to_grayscale(planes).double().mean(),
    "adjust_saturation": functional.rgb_to_grayscale,
    "adjust_sharpness": lambda planes: functional.adjust_sharpness(planes, 0.0),
}
"""What an image is blended with."""
