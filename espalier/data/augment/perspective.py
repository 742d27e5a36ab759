import numpy as np
import torch
from torch import Tensor

from espalier.data.operations import Warp
from espalier.data.sampling import Interpolation
from espalier.data.warp import perspective_coefficients, perspective_grid
from espalier.settings.registry import register
from espalier.settings.types import Literal, Probability


class Perspective(Warp):
    def __init__(self, distortion_scale: float, p: float, interpolation: Interpolation) -> None:
        self.distortion_scale = distortion_scale
        self.p = p
        self.interpolation = interpolation

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor]:
        """Coefficients from output to input pixels; those of the identity leave an image as it is."""
        corners = np.array([[0, 0], [size - 1, 0], [size - 1, size - 1], [0, size - 1]])
        farthest = int(self.distortion_scale * (size // 2))
        inwards = rng.integers(0, farthest, (count, 4, 2), endpoint=True)
        moved = (rng.random(count) < self.p) & (farthest > 0)
        coefficients = torch.tensor([1.0, 0, 0, 0, 1, 0, 0, 0]).repeat(count, 1)
        ends = corners + np.where(corners > 0, -inwards, inwards)[moved]
        # Where corners may meet in the middle; torchvision ends with an error there.
        while (flat := _flat(ends)).any():
            inwards = rng.integers(0, farthest, (flat.sum(), 4, 2), endpoint=True)
            ends[flat] = corners + np.where(corners > 0, -inwards, inwards)
        coefficients[torch.from_numpy(moved)] = perspective_coefficients(corners, ends)
        return (coefficients,)

    def places(self, rows: Tensor, cols: Tensor, size: int, *table: Tensor) -> Tensor:
        return perspective_grid(*table, rows, cols, (size, size))


def _flat(corners: np.ndarray) -> np.ndarray:
    """Whether three of the four corners (n, 4, 2) lie on one line, so that no perspective leads there."""
    along = np.roll(corners, -1, 1) - corners
    (x, y), (next_x, next_y) = np.moveaxis(along, -1, 0), np.moveaxis(np.roll(along, -1, 1), -1, 0)
    return (x * next_y == y * next_x).any(1)


@register("augmentation", stage="uint8")
def perspective(
    *,
    distortion_scale: Probability = 0.5,
    p: Probability = 0.5,
    interpolation: Literal["nearest", "bilinear"] = "bilinear",
) -> Perspective:
    """The image in a random perspective: each corner is moved inwards, and what lies outside is black.

    Args:
        distortion_scale: farthest that a corner moves, as a share of half the image's side
        p: probability that an image is changed
        interpolation: the nearest pixel, or the weighted mean of the four around
    """
    return Perspective(distortion_scale, p, interpolation)
