"""A policy: the augmentations of a study, in order, applied to whole chunks of samples."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from espalier.data.gather import gather
from espalier.data.operations import OUTSIDE, Geometry, Operation, Warp
from espalier.data.sampling import sample
from espalier.seeding import key
from espalier.settings.registry import Choice
from espalier.settings.types import AUGMENT_STAGES

Tables = list[tuple[Tensor, ...]]
"""Drawn parameters of one epoch, operation by operation."""


class Policy:
    """Augmentations built from a study's choices.

    Raises:
        ValueError: an operation stands after one of a later stage, or two mix images.
    """

    def __init__(self, augment: Iterable[Choice] = ()) -> None:
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
        self._windows = {run[0] for run in self._runs if self._shifts_once(run)}
        """First positions of the runs that only choose a window of each image."""

    def draw(self, *, seed: int, epoch: int, count: int, size: int, device: torch.device) -> Tables:
        """The parameters of `epoch` for all `count` samples, on `device`."""
        return [
            tuple(
                column.to(device)
                for column in operation.draw(
                    np.random.Generator(np.random.PCG64(key("augment", seed, epoch, position))), count, size
                )
            )
            for position, operation in enumerate(self.operations)
        ]

    def windowed(self, tables: Tables, size: int) -> Tables:
        """The same, but where a run only chooses windows, these in place of its first table: int64 (count, 4), source
        rows of the first and the last row of each image, and columns likewise."""
        tables = list(tables)
        ends = torch.tensor([0, size - 1])
        for run in self._runs:
            if run[0] in self._windows:
                rows, cols = ends.view(1, 2, 1), ends.view(1, 1, 2)
                for position in reversed(run):
                    table = (column.view(-1, 1, 1) for column in tables[position])
                    rows, cols = self.operations[position].source(rows, cols, size, *table)
                count = len(tables[run[0]][0])
                tables[run[0]] = (torch.cat([each.view(-1, 2).expand(count, -1) for each in (rows, cols)], 1),)
        return tables

    def inputs(
        self,
        images: Tensor,
        samples: Tensor,
        tables: Tables,
        normalize: Callable[[Tensor], Tensor],
        kernels: ModuleType | None = None,
    ) -> Tensor:
        """Augmented, normalized images of `samples`, not yet mixed: float32 (n, H, W, C).

        Args:
            images: uint8 (N, H, W, C), all of a split
            samples: int64 (n,), indices into `images` and rows of `tables`
            kernels: `espalier.data.fused`, to make the same images in fewer passes on a CPU; `tables` are `windowed`
        """
        index: Tensor | None = samples
        inputs: Tensor | None = None
        # The share of a small last batch may be empty, and kernels differ in what they make of that.
        for first, *rest in self._runs if len(samples) else ():
            operation, size = self.operations[first], images.shape[1]
            if isinstance(operation, Geometry):
                if index is None:
                    index = torch.arange(len(samples), device=samples.device)
                if kernels and first in self._windows:
                    if first == self._runs[-1][0]:
                        inputs = kernels.cropped(images, index, *tables[first], samples, normalize)
                    else:
                        images = kernels.cropped(images, index, *tables[first], samples)
                else:
                    sources = self._sources([first, *rest], samples, tables, size)
                    images = gather(images, index, *(each.expand(len(samples), -1, -1) for each in sources))
                index = None
                continue
            table = _rows(tables[first], samples)
            if index is not None:
                images, index = images.index_select(0, index), None
            if isinstance(operation, Warp):
                places = operation.places(*self._sources(rest, samples, tables, size), size, *table)
                images = sample(images, places, operation.interpolation)
            else:
                images = (kernels.changing(operation) if kernels else operation.apply)(images, *table)
        if inputs is None and kernels:
            inputs = kernels.normalized(images, index, normalize)
        elif inputs is None:
            inputs = normalize(images if index is None else images.index_select(0, index))
        for operation, table in zip(self.operations, tables, strict=True):
            if operation.stage == "normalized":
                apply = kernels.changing(operation) if kernels else operation.apply
                inputs = apply(inputs, *_rows(table, samples))
        return inputs

    def mix(
        self, inputs: Tensor, partners: Tensor, samples: Tensor, tables: Tables, kernels: ModuleType | None = None
    ) -> tuple[Tensor, Tensor]:
        """Each input blended with its partner, and the weight (n,) of its own label.

        With kernels, in place: `partners` may be the inputs from the second on, and one more.
        """
        mix = kernels.mixing(self.operations[-1]) if kernels else self.operations[-1].mix
        return mix(inputs, partners, *_rows(tables[-1], samples))

    def _moves(self, position: int) -> bool:
        return isinstance(self.operations[position], Geometry | Warp)

    def _shifts_once(self, run: list[int]) -> bool:
        """Whether what a run of operations does is one shift, mirrored or not; of two, the first may cut at an edge
        what the second brings back into sight."""
        straight = [getattr(self.operations[position], "straight", None) for position in run]
        return None not in straight and straight.count("shifted") <= 1

    def _sources(self, run: list[int], samples: Tensor, tables: Tables, size: int) -> tuple[Tensor, Tensor]:
        """Source rows and columns of every output pixel under the geometry operations at positions `run`, which may
        be none: (n or 1, H, 1) and (n or 1, 1, W), or both (n, H, W)."""
        line = torch.arange(size, device=samples.device)
        rows, cols = line.view(1, -1, 1), line.view(1, 1, -1)
        # An output pixel is traced back through the last operation first.
        for position in reversed(run):
            table = (column.view(-1, 1, 1, *column.shape[1:]) for column in _rows(tables[position], samples))
            rows, cols = self.operations[position].source(rows, cols, size, *table)
            rows = rows.masked_fill((rows < 0) | (rows >= size), OUTSIDE)
            cols = cols.masked_fill((cols < 0) | (cols >= size), OUTSIDE)
        return rows, cols


def _rows(table: tuple[Tensor, ...], samples: Tensor) -> tuple[Tensor, ...]:
    return tuple(column.index_select(0, samples) for column in table)
