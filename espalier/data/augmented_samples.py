"""What training sees of a few images, epoch by epoch: taken from its own batches, not made a second time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from espalier.data.policy import Policy
from espalier.data.prepared import Prepared
from espalier.data.resident import Batch, Resident, ordered
from espalier.settings.registry import Choice


@dataclass(frozen=True)
class Seen:
    """An image as training sees it in one epoch."""

    image: np.ndarray
    """uint8 (H, W, C), normalization undone"""
    labels: tuple[tuple[str, float], ...]
    """classes and the weights of their labels, the image's own first; one or, where images are mixed, two"""


@dataclass(frozen=True)
class Sample:
    """A training image: as it is stored, and as training sees it in one epoch after the other."""

    name: str
    """its class"""
    original: np.ndarray
    """uint8 (H, W, C)"""
    seen: list[Seen]


def varied(labels: Tensor, count: int) -> list[int]:
    """`count` places in `labels`: the first of every class, then the second of every class, and so on."""
    met: Counter[int] = Counter()
    ranks = []
    for place, label in enumerate(labels.tolist()):
        ranks.append((met[label], label, place))
        met[label] += 1
    return [place for *_, place in sorted(ranks)[:count]]


def samples(prepared: Prepared, policy: Policy, *, seed: int, count: int, epochs: int) -> list[Sample]:
    """`count` images of the train split, of different classes as far as there are, in epochs 1 to `epochs`."""
    data, split = Resident(prepared), prepared.splits["train"]
    chosen = varied(split.labels, count)
    by_epoch = [_seen(data, policy, chosen, seed=seed, epoch=epoch) for epoch in range(1, epochs + 1)]
    return [
        Sample(prepared.classes[split.labels[place]], split.images[place].permute(1, 2, 0).numpy(), seen)
        for place, *seen in zip(chosen, *by_epoch, strict=True)
    ]


def alone(prepared: Prepared, augment: Sequence[Choice], *, seed: int, count: int) -> list[list[Sample]]:
    """The same images under each augmentation of a policy without the others, as the first epoch draws it in the
    policy."""
    return [
        samples(prepared, Policy([one], first=place), seed=seed, count=count, epochs=1)
        for place, one in enumerate(augment)
    ]


def _seen(data: Resident, policy: Policy, chosen: Sequence[int], *, seed: int, epoch: int) -> list[Seen]:
    order = ordered(data.size("train"), seed=seed, epoch=epoch).tolist()
    found = []
    for sample in chosen:
        # An epoch's images do not depend on the batch size: with batches of one, this image has a step of its own.
        step = order.index(sample)
        batch = next(data.train_batches(policy, epoch=epoch, seed=seed, batch_size=1, first_step=step))
        found.append(Seen(_shown(batch.inputs[0], data), _labels(batch, data.classes)))
    return found


def _shown(inputs: Tensor, data: Resident) -> np.ndarray:
    mean, std = torch.tensor(data.mean), torch.tensor(data.std)
    # As in Normalization, a channel that never varies is only centred.
    colours = inputs.permute(1, 2, 0) * torch.where(std > 0, std, 1.0) + mean
    return (255 * colours).round().clamp(0, 255).to(torch.uint8).numpy()


def _labels(batch: Batch, classes: Sequence[str]) -> tuple[tuple[str, float], ...]:
    own = classes[batch.labels[0]]
    if batch.weight is None:
        return ((own, 1.0),)
    weight = batch.weight[0].item()
    return (own, weight), (classes[batch.partner_labels[0]], 1 - weight)
