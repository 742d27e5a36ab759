import numpy as np
from torch import Tensor

from espalier.data.operations import Warp
from espalier.data.sampling import Interpolation
from espalier.data.warp import affine_grid, inverse_affine
from espalier.settings.registry import register
from espalier.settings.types import Extent, Interval, Literal, NonNegative


class Affine(Warp):
    def __init__(
        self,
        degrees: float,
        translate: tuple[float, float],
        scale: tuple[float, float],
        shear: float,
        interpolation: Interpolation,
    ) -> None:
        self.degrees = degrees
        self.translate = translate
        self.scale = scale
        self.shear = shear
        self.interpolation = interpolation

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor]:
        """Matrices from output to input pixels."""
        return (inverse_affine(*self.parameters(rng, count, size)),)

    def parameters(self, rng: np.random.Generator, count: int, size: int) -> tuple[np.ndarray, ...]:
        """Angles (n,), shifts in pixels (n, 2), scales (n,) and shears (n, 2), as `inverse_affine` takes them."""
        angle = rng.uniform(-self.degrees, self.degrees, count)
        farthest = np.multiply(self.translate, size)
        translate = np.rint(rng.uniform(-farthest, farthest, (count, 2)))
        scale = rng.uniform(*self.scale, count)
        return angle, translate, scale, np.stack([rng.uniform(-self.shear, self.shear, count), np.zeros(count)], 1)

    def places(self, rows: Tensor, cols: Tensor, size: int, *table: Tensor) -> Tensor:
        return affine_grid(*table, rows, cols, (size, size))


@register("augmentation", stage="uint8")
def affine(
    *,
    degrees: NonNegative = 0.0,
    translate: Extent = (0.0, 0.0),
    scale: Interval = (1.0, 1.0),
    shear: NonNegative = 0.0,
    interpolation: Literal["nearest", "bilinear"] = "nearest",
) -> Affine:
    """The image rotated, moved, scaled and sheared about its middle; what comes from outside of it is black.

    Args:
        degrees: the angle is drawn from -degrees to degrees
        translate: farthest shifts to either side and up or down, as shares of width and height
        scale: the factor of size is drawn from this interval
        shear: the shear along the rows is drawn from -shear to shear degrees
        interpolation: the nearest pixel, or the weighted mean of the four around
    """
    return Affine(degrees, translate, scale, shear, interpolation)
