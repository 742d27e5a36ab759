"""A policy: the augmentations of a study, in order, applied to whole chunks of samples."""

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from espalier.data.operations import OUTSIDE, Geometry, Operation, Warp
from espalier.data.sampling import gather, sample
from espalier.seeding import key
from espalier.settings.registry import Choice
from espalier.settings.types import AUGMENT_STAGES
from espalier.site.device import exact

Tables = list[tuple[Tensor, ...]]
"""Drawn parameters of one epoch, operation by operation."""


class Policy:
    """Augmentations built from a study's choices.

    Args:
        first: place of the first of them in the policy that they are a part of, by which their draws are keyed

    Raises:
        ValueError: an operation stands after one of a later stage, or two mix images.
    """

    def __init__(self, augment: Iterable[Choice] = (), first: int = 0) -> None:
        self._first = first
        self.operations: list[Operation] = [choice.build() for choice in augment]
        order = [AUGMENT_STAGES.index(operation.stage) for operation in self.operations]
        for position, (before, after) in enumerate(pairwise(order), 1):
            if before > after:
                names = [type(operation).__name__ for operation in self.operations]
                raise ValueError(
                    f"augment: {names[position]} works on {AUGMENT_STAGES[after]} images and must stand before"
                    f" {names[position - 1]}, which works on {AUGMENT_STAGES[before]} ones"
                )
        if order.count(AUGMENT_STAGES.index("mixing")) > 1:
            raise ValueError("augment: one operation may mix images, and this policy has several")
        self.mixes = AUGMENT_STAGES.index("mixing") in order
        uint8 = [position for position, operation in enumerate(self.operations) if operation.stage == "uint8"]
        self._runs: list[list[int]] = []
        """Positions of the uint8 operations; geometry with its neighbours, to become one gather."""
        for position in uint8:
            if self._runs and isinstance(self.operations[position], Geometry) and self._moves(self._runs[-1][-1]):
                self._runs[-1].append(position)
            else:
                self._runs.append([position])

    def draw(self, *, seed: int, epoch: int, count: int, size: int, device: torch.device) -> Tables:
        """The parameters of `epoch` for all `count` samples, on `device`."""
        return [
            tuple(
                # Floats as wide as they are drawn, where the device has them.
                column.to(device, exact(device) if column.dtype == torch.float64 else None)
                for column in operation.draw(
                    np.random.Generator(np.random.PCG64(key("augment", seed, epoch, self._first + position))),
                    count,
                    size,
                )
            )
            for position, operation in enumerate(self.operations)
        ]

    def inputs(
        self,
        images: Tensor,
        samples: Tensor,
        tables: Tables,
        normalize: Callable[[Tensor], Tensor],
        gathered: Callable[..., Tensor] | None = None,
    ) -> Tensor:
        """Augmented, normalized images of `samples`, not yet mixed: float32 (n, H, W, C).

        Args:
            images: uint8 (N, H, W, C), all of a split
            samples: int64 (n,), indices into `images` and rows of `tables`
            gathered: `Normalization.gathered`, to make the same images in one pass where geometry that moves whole
                rows and columns comes last
        """
        index: Tensor | None = samples
        inputs: Tensor | None = None
        # The share of a small last batch may be empty, and kernels differ in what they make of that.
        for first, *rest in self._runs if len(samples) else ():
            operation, size = self.operations[first], images.shape[1]
            if isinstance(operation, Geometry):
                if index is None:
                    index = torch.arange(len(samples), device=samples.device)
                sources = self._sources([first, *rest], samples, tables, size)
                rows, cols = (each.expand(len(samples), -1, -1) for each in sources)
                if gathered and first == self._runs[-1][0] and rows.shape[2] == cols.shape[1] == 1:
                    inputs = gathered(images, index, rows, cols)
                else:
                    images = gather(images, index, rows, cols)
                index = None
                continue
            table = _rows(tables[first], samples)
            if index is not None:
                images, index = images.index_select(0, index), None
            if isinstance(operation, Warp):
                sources = (_cut(each, size) for each in self._sources(rest, samples, tables, size))
                places = operation.places(*sources, size, *table)
                images = sample(images, places, operation.interpolation)
            else:
                images = operation.apply(images, *table)
        if inputs is None:
            inputs = normalize(images if index is None else images.index_select(0, index))
        for operation, table in zip(self.operations, tables, strict=True):
            if operation.stage == "normalized":
                inputs = operation.apply(inputs, *_rows(table, samples))
        return inputs

    @property
    def mixes_batches(self) -> bool:
        """Whether all images of a batch are mixed by one draw, that of its first image."""
        return self.mixes and self.operations[-1].per == "batch"

    def mix(self, inputs: Tensor, partners: Tensor, samples: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """Each input blended with its partner, and the weight (n,) of its own label."""
        return self.operations[-1].mix(inputs, partners, *_rows(tables[-1], samples))

    def _moves(self, position: int) -> bool:
        return isinstance(self.operations[position], Geometry | Warp)

    def _sources(self, run: list[int], samples: Tensor, tables: Tables, size: int) -> tuple[Tensor, Tensor]:
        """Source rows and columns of every output pixel under the geometry operations at positions `run`.

        `run` may be empty. Shapes are (n or 1, H, 1) and (n or 1, 1, W), or both (n, H, W).
        """
        line = torch.arange(size, device=samples.device)
        rows, cols = line.view(1, -1, 1), line.view(1, 1, -1)
        # An output pixel is traced back through the last operation first.
        for position in reversed(run):
            table = (column.view(-1, 1, 1, *column.shape[1:]) for column in _rows(tables[position], samples))
            rows, cols = self.operations[position].source(_cut(rows, size), _cut(cols, size), size, *table)
        return rows, cols


def _cut(lines: Tensor, size: int) -> Tensor:
    """Rows or columns, OUTSIDE where they are outside of an image."""
    return lines.masked_fill((lines < 0) | (lines >= size), OUTSIDE)


def _rows(table: tuple[Tensor, ...], samples: Tensor) -> tuple[Tensor, ...]:
    return tuple(column.index_select(0, samples) for column in table)
