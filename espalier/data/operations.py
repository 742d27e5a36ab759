"""The five kinds of augmentation. Each draws a table of random parameters once an epoch, and applies its rows to
images.

Row i of a table belongs to training sample i, so that results do not depend on batch size, number of processes or the
step at which a run was resumed. The kinds run in this order:

- Geometry moves whole pixels. Neighbours in a policy are composed into one integer gather.
- Warp interpolates between pixels. Geometry after it only chooses which of its pixels are computed.
- Pixels changes uint8 values, e.g. by look-up tables.
- Normalized changes float images after normalization, where 0 is the mean colour.
- Mixing blends each image with its partner, and their labels with it.

Geometry, Warp and Pixels may alternate: a policy's own order is kept. Images are (n, H, W, C), contiguous, throughout.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np
from torch import Tensor

from espalier.data.sampling import Interpolation
from espalier.settings.types import AugmentStage

OUTSIDE = -(1 << 24)
"""A source coordinate outside of every image, and still outside after any shift or flip."""


class Operation(ABC):
    """One augmentation of a policy."""

    stage: ClassVar[AugmentStage]

    @abstractmethod
    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor, ...]:
        """The random parameters of one epoch: tensors whose row i belongs to sample i of `count`.

        Args:
            size: height and width of the images in pixels
        """


class Geometry(Operation):
    stage = "uint8"

    @abstractmethod
    def source(self, rows: Tensor, cols: Tensor, size: int, *table: Tensor) -> tuple[Tensor, Tensor]:
        """The input pixels from which the output pixels at (rows, cols) are copied; those outside of the image are
        black.

        Args:
            rows: int64 (n, H, 1) or (n, H, W)
            cols: int64 (n, 1, W) or (n, H, W)
            size: height and width in pixels
            table: drawn parameters of the n samples, each (n, 1, 1, ...)

        Returns:
            source rows and source columns, of the same kinds of shape
        """


class Warp(Operation):
    stage = "uint8"
    interpolation: Interpolation = "nearest"

    @abstractmethod
    def places(self, rows: Tensor, cols: Tensor, size: int, *table: Tensor) -> Tensor:
        """The positions in the input at which the output pixels at (rows, cols) are sampled: (n, H, W, 2), for
        `sampling.sample`.

        Args:
            rows: int64 (n, H, 1), (1, H, 1) or (n, H, W); OUTSIDE for a pixel that stays black
            cols: int64 (n, 1, W), (1, 1, W) or (n, H, W), likewise
            size: height and width in pixels
            table: drawn parameters of the n samples, each (n, ...)
        """


class Pixels(Operation):
    stage = "uint8"

    @abstractmethod
    def apply(self, images: Tensor, *table: Tensor) -> Tensor:
        """New values of uint8 images (n, H, W, C); may work in place. Each of `table` is (n, ...)."""


class Normalized(Operation):
    stage = "normalized"

    @abstractmethod
    def apply(self, inputs: Tensor, *table: Tensor) -> Tensor:
        """New values of float32 inputs (n, H, W, C); may work in place. Each of `table` is (n, ...)."""


class Mixing(Operation):
    stage = "mixing"
    per: Literal["image", "batch"] = "image"
    """whether each image has a draw of its own, or a batch has that of its first image"""

    @abstractmethod
    def mix(self, inputs: Tensor, partners: Tensor, *table: Tensor) -> tuple[Tensor, Tensor]:
        """Blends of float32 inputs and partners (n, H, W, C), and the weight (n,) of the inputs' own labels."""
