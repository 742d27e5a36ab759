import numpy as np
from torch import Tensor

from espalier.data.operations import Warp
from espalier.data.sampling import Interpolation
from espalier.data.warp import affine_grid, inverse_affine
from espalier.settings.registry import register
from espalier.settings.types import Literal, NonNegative


class Rotation(Warp):
    def __init__(self, degrees: float, interpolation: Interpolation) -> None:
        self.degrees = degrees
        self.interpolation = interpolation

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor]:
        """Matrices from output to input pixels."""
        angle = rng.uniform(-self.degrees, self.degrees, count)
        return (inverse_affine(-(angle % 360), (0, 0), 1, (0, 0)),)

    def places(self, rows: Tensor, cols: Tensor, size: int, *table: Tensor) -> Tensor:
        return affine_grid(*table, rows, cols, (size, size))


@register("augmentation", stage="uint8")
def rotation(*, degrees: NonNegative = 15.0, interpolation: Literal["nearest", "bilinear"] = "nearest") -> Rotation:
    """The image rotated about its middle; what comes from outside of it is black.

    Args:
        degrees: the angle is drawn from -degrees to degrees
        interpolation: the nearest pixel, or the weighted mean of the four around
    """
    return Rotation(degrees, interpolation)
