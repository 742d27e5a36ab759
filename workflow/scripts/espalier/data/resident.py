"""A prepared data set held whole as uint8 on the device, and the batches of an epoch made from it.

Epoch e visits the training samples in a permutation drawn from (seed, e); step s of a global batch of B takes
places s*B to (s+1)*B of it. A sample's augmentation belongs to the sample and the epoch alone, and its mixing
partner is the next one of the permutation, so an epoch's images are the same for every batch size, number of
processes and step it is taken up at.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from espalier.data.normalization import Normalization
from espalier.data.policy import Policy
from espalier.data.prepared import Prepared
from espalier.seeding import key

_CHUNK = {"cpu": 4 << 20, "cuda": 1 << 30}
"""Bytes of float images made at once: what a CPU's cache holds, or enough to keep a GPU's launches few."""


@dataclass(frozen=True)
class Batch:
    """One process's share of a global batch; it may be empty when the last one has fewer images than processes."""

    inputs: Tensor
    """float32 (b, C, H, W), augmented and normalized"""
    labels: Tensor
    """int64 (b,)"""
    partner_labels: Tensor | None
    """int64 (b,), where images are mixed"""
    weight: Tensor | None
    """float32 (b,), share of `labels`; the rest belongs to `partner_labels`"""
    global_size: int
    """images in the batch over all processes"""


def share(first: int, last: int, rank: int, world: int) -> tuple[int, int]:
    """The contiguous part of places first..last that is `rank`'s; parts differ by one image at most."""
    size = last - first
    return first + rank * size // world, first + (rank + 1) * size // world


class Resident:
    """The asked splits of a prepared file on one device; on a CPU they are views of the mapped file."""

    def __init__(self, prepared: Prepared, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.classes = prepared.classes
        self.num_classes = len(prepared.classes)
        self.mean, self.std, self.checksum = prepared.mean, prepared.std, prepared.checksum
        self._images = {
            name: split.images.permute(0, 2, 3, 1).to(self.device) for name, split in prepared.splits.items()
        }
        self._labels = {name: split.labels.to(self.device) for name, split in prepared.splits.items()}
        self.image_size, _, self.channels = next(iter(self._images.values())).shape[1:]
        self._normalize = Normalization(self.mean, self.std, self.image_size, self.device)

    @classmethod
    def load(
        cls, path: Path, device: torch.device | str = "cpu", splits: Iterable[str] = ("train", "validation")
    ) -> "Resident":
        """Read a prepared file; test is for `evaluate` alone.

        Raises:
            DataError: the file is missing, damaged, of another version, or no prepared data set.
        """
        return cls(Prepared.read(path, tuple(splits)), device)

    def size(self, split: str) -> int:
        """Images of a split."""
        return len(self._labels[split])

    def steps_per_epoch(self, batch_size: int) -> int:
        """Global batches an epoch, the last and partial one included."""
        return -(-self.size("train") // batch_size)

    def batches(self, split: str, batch_size: int, *, channels_last: bool = True) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalized images float32 (b, C, H, W) and labels int64 (b,) of a split, in its own order."""
        for start in range(0, self.size(split), batch_size):
            part = slice(start, start + batch_size)
            inputs = self._normalize(self._images[split][part])
            yield _ordered(inputs, channels_last), self._labels[split][part]

    def train_batches(
        self,
        policy: Policy,
        *,
        epoch: int,
        seed: int,
        batch_size: int,
        first_step: int = 0,
        rank: int = 0,
        world: int = 1,
        channels_last: bool = True,
    ) -> Iterator[Batch]:
        """The batches of `epoch` from `first_step` on, as process `rank` of `world` sees them.

        Args:
            batch_size: images a step, over all processes
        """
        count = self.size("train")
        images, labels = self._images["train"], self._labels["train"]
        order = np.random.Generator(np.random.PCG64(key("order", seed, epoch))).permutation(count)
        # One more place, so that the last sample finds its partner in the first.
        order = torch.from_numpy(np.append(order, order[:1])).to(self.device)
        tables = policy.draw(seed=seed, epoch=epoch, count=count, size=self.image_size, device=self.device)

        steps = range(first_step, self.steps_per_epoch(batch_size))
        image_bytes = 4 * images[0].numel()
        together = max(1, _CHUNK.get(self.device.type, 1 << 30) // (image_bytes * -(-batch_size // world)))
        for start in range(0, len(steps), together):
            ends = [(step * batch_size, min((step + 1) * batch_size, count)) for step in steps[start:][:together]]
            places = [share(*end, rank, world) for end in ends]
            taken = [order[first : last + policy.mixes] for first, last in places]
            chunk = policy.inputs(images, torch.cat(taken), tables, self._normalize)
            inputs = chunk.split([len(samples) for samples in taken])
            for (first, last), own, samples in zip(ends, inputs, taken, strict=True):
                partner_labels = weight = None
                if policy.mixes:
                    partner_labels = labels[samples[1:]]
                    samples = samples[:-1]
                    own, weight = policy.mix(own[:-1], own[1:], samples, tables)
                yield Batch(_ordered(own, channels_last), labels[samples], partner_labels, weight, last - first)


def _ordered(inputs: Tensor, channels_last: bool) -> Tensor:
    """Inputs (b, H, W, C) as (b, C, H, W) in the asked memory order."""
    inputs = inputs.permute(0, 3, 1, 2)
    return inputs if channels_last else inputs.contiguous()
