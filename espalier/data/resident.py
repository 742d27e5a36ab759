"""A prepared data set held whole as uint8, on the device where it fits, and the batches of an epoch made from it.

Epoch e visits the training samples in a permutation drawn from (seed, e); step s of a global batch of B takes
places s*B to (s+1)*B of it. A sample's augmentation belongs to the sample and the epoch alone, and its mixing
partner is the next one of the permutation, so an epoch's images are the same for every batch size, number of
processes and step it is taken up at.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from espalier.data.fetching import fetched, fits
from espalier.data.normalization import Normalization
from espalier.data.policy import Policy, Tables
from espalier.data.prepared import Prepared
from espalier.seeding import key

_CHUNK = {"cpu": 4 << 20, "cuda": 256 << 20}
"""Bytes of float images made at once: what a CPU's cache holds, or enough to keep a GPU's launches few."""

_WORTH = 40 << 20
"""Bytes of images from which on shifts and flips are compiled. Loading that takes 0.9 CPU-seconds, and an epoch is then
shorter by 0.05 for each 40 MiB of 32x32 images; MNIST has 40, CIFAR-10 132."""


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


def ordered(count: int, *, seed: int, epoch: int) -> Tensor:
    """The samples in an epoch's order, int64 (count + 1,): the last one's mixing partner is the first, once more."""
    order = np.random.Generator(np.random.PCG64(key("order", seed, epoch))).permutation(count)
    return torch.from_numpy(np.append(order, order[:1]))


def balanced(labels: np.ndarray, *, seed: int, epoch: int) -> Tensor:
    """A random order of an epoch like `ordered`, but with an equal share of every class, to within one image.

    The order within a class is random. A large class contributes part of its images; those of a small class repeat,
    each equally often, to within one.

    Args:
        labels: class of each sample (N,)
    """
    draw = np.random.Generator(np.random.PCG64(key("balanced order", seed, epoch)))
    classes = draw.permutation(np.unique(labels))
    sizes = len(labels) // len(classes) + (np.arange(len(classes)) < len(labels) % len(classes))
    chosen = []
    for number, size in zip(classes, sizes, strict=True):
        members = draw.permutation(np.flatnonzero(labels == number))
        chosen.append(np.resize(members, size))
    order = draw.permutation(np.concatenate(chosen))
    return torch.from_numpy(np.append(order, order[:1]))


def share(first: int, last: int, rank: int, world: int) -> tuple[int, int]:
    """The contiguous part of places first..last that is `rank`'s; parts differ by one image at most."""
    size = last - first
    return first + rank * size // world, first + (rank + 1) * size // world


class Resident:
    """The asked splits of a prepared file on one device; on a CPU they are views of the mapped file.

    Args:
        on_device: whether the images are copied to the device now, or stay in the mapped file and are fetched a
            chunk ahead; they are copied where they fit unless told. The batches are the same
        compiled: whether shifts and flips of training images are compiled; unless told, where it pays, on a CPU with
            many images. The batches are the same
    """

    def __init__(
        self,
        prepared: Prepared,
        device: torch.device | str = "cpu",
        *,
        on_device: bool | None = None,
        compiled: bool | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.classes = prepared.classes
        self.num_classes = len(prepared.classes)
        self.mean, self.std, self.checksum = prepared.mean, prepared.std, prepared.checksum
        self.protocol, self.splits = prepared.protocol, prepared.splits
        self.settings, self.sizes = prepared.settings, prepared.sizes
        images = {name: split.images.permute(0, 2, 3, 1) for name, split in prepared.splits.items()}
        if on_device is None:
            on_device = fits(sum(each.nbytes for each in images.values()), self.device)
        self.on_device = on_device
        self._images = {name: each.to(self.device) for name, each in images.items()} if on_device else images
        self._labels = {name: split.labels.to(self.device) for name, split in prepared.splits.items()}
        self.image_size, _, self.channels = next(iter(images.values())).shape[1:]
        # Of files from before gray images had one channel.
        self.grayscale = self.channels > 1 and bool(prepared.settings.get("grayscale", False))
        self._normalize = Normalization(self.mean, self.std, self.image_size, self.device)
        if compiled is None:
            compiled = self.device.type == "cpu" and "train" in images and images["train"].nbytes >= _WORTH
        self._gathered = self._normalize.gathered if compiled else None

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

    def label_counts(self, split: str) -> Tensor:
        """Images of each class in a split, int64 (classes,), on the CPU."""
        return torch.bincount(self._labels[split].cpu(), minlength=self.num_classes)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Global batches an epoch, the last and partial one included."""
        return -(-self.size("train") // batch_size)

    def batches(
        self, split: str, batch_size: int, *, channels_last: bool = True, pixels: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalized images float32 (b, C, H, W) and labels int64 (b,) of a split, in its own order.

        Args:
            pixels: images are left as they are: uint8, from 0 to 255
        """
        images, labels = self._images[split], self._labels[split].split(batch_size)
        if self.on_device:
            parts = iter(images.split(batch_size))
        else:
            parts = fetched(images, torch.arange(len(images)).split(batch_size), self.device)
        for part, own in zip(parts, labels, strict=True):
            yield _arranged(part if pixels else self._normalize(part), channels_last), own

    def inputs(self, images: Tensor, *, channels_last: bool = True) -> Tensor:
        """Other images, uint8 (b, C, H, W), on the device and normalized as `batches` gives its own."""
        return _arranged(self._normalize(images.permute(0, 2, 3, 1).to(self.device)), channels_last)

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
        sampling: Literal["balanced"] | None = None,
    ) -> Iterator[Batch]:
        """The batches of `epoch` from `first_step` on, as process `rank` of `world` sees them.

        Args:
            batch_size: images a step, over all processes
            sampling: balanced for classes of equal shares; an image that recurs in an epoch is augmented alike there
        """
        count, labels = self.size("train"), self._labels["train"]
        if sampling == "balanced":
            order = balanced(self.splits["train"].labels.numpy(), seed=seed, epoch=epoch)
        else:
            order = ordered(count, seed=seed, epoch=epoch)
        tables = policy.draw(seed=seed, epoch=epoch, count=count, size=self.image_size, device=self.device)
        steps = range(first_step, self.steps_per_epoch(batch_size))
        ends = [(step * batch_size, min((step + 1) * batch_size, count)) for step in steps]
        # Mixing needs one more sample: the partner of an image is the next one in the order.
        places = [share(*end, rank, world) for end in ends]
        places = [(first, last + policy.mixes) for first, last in places]

        image_bytes = 4 * self.channels * self.image_size**2
        together = max(1, _CHUNK.get(self.device.type, 256 << 20) // (image_bytes * -(-batch_size // world)))
        if policy.mixes and self.device.type == "cpu":
            # Mixing needs the chunk several times over, beyond a cache.
            together = 1
        chunks = [places[start : start + together] for start in range(0, len(places), together)]
        global_sizes = iter([last - first for first, last in ends])
        # The sample at the head of each global batch, of which a process may have another part.
        heads = iter(order[[first for first, _ in ends]].to(self.device).split(1))
        for chunk, (samples, images, index, rows) in zip(chunks, self._taken(order, chunks, tables), strict=True):
            sizes = [last - first for first, last in chunk]
            # Augmentations need not work on no image at all.
            if sum(sizes):
                inputs = policy.inputs(images, index, rows, self._normalize, self._gathered)
            else:
                inputs = self._normalize(images[:0])
            if not policy.mixes:
                for own, own_labels in zip(inputs.split(sizes), labels[samples].split(sizes), strict=True):
                    yield Batch(_arranged(own, channels_last), own_labels, None, None, next(global_sizes))
                continue
            drawn = (index, rows)
            if policy.mixes_batches:
                drawn = (torch.cat([next(heads).expand(size) for size in sizes]), tables)
            inputs, weights = policy.mix(inputs[:-1], inputs[1:], drawn[0][:-1], drawn[1])
            own_labels, start = labels[samples], 0
            for size in sizes:
                # The last of each share is only the partner of the one before it.
                end = start + size - 1
                mixed = own_labels[start:end], own_labels[start + 1 : end + 1], weights[start:end]
                yield Batch(_arranged(inputs[start:end], channels_last), *mixed, next(global_sizes))
                start += size

    def _taken(
        self, order: Tensor, chunks: list[list[tuple[int, int]]], tables: Tables
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tables]]:
        """Of each chunk of places in `order`: its samples, and where they stand in what images and what tables."""

        def samples(order: Tensor) -> Iterator[Tensor]:
            return (torch.cat([order[first:last] for first, last in chunk]) for chunk in chunks)

        # The order is copied to the device once and sliced there: a copy for each chunk would wait for the GPU.
        chosen = samples(order.to(self.device))
        if self.on_device:
            for taken in chosen:
                yield taken, self._images["train"], taken, tables
            return
        for taken, images in zip(chosen, fetched(self._images["train"], samples(order), self.device), strict=True):
            rows = [tuple(column.index_select(0, taken) for column in table) for table in tables]
            yield taken, images, torch.arange(len(taken), device=self.device), rows


def _arranged(inputs: Tensor, channels_last: bool) -> Tensor:
    """Inputs (b, H, W, C) as (b, C, H, W) in the asked memory order."""
    inputs = inputs.permute(0, 3, 1, 2)
    return inputs if channels_last else inputs.contiguous()
