"""What networks score on corrupted images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from espalier.data.corruptions import corrupted
from espalier.data.prepared import Split
from espalier.seeding import key
from espalier.settings.sections import Corruptions

Change = Callable[[Tensor, Sequence[int]], Tensor]


@torch.inference_mode()
def rows(
    networks: Sequence[tuple[nn.Module, Mapping[str, Any], bool]],
    split: Split,
    inputs: Callable[[Tensor], Tensor],
    asked: Corruptions,
    batch_size: int,
) -> Iterator[dict[str, Any]]:
    """A row of corruptions.csv for every corruption, strength and network.

    An image is corrupted once for all networks, of which none is changed.

    Args:
        networks: each with the columns that name it, and whether it takes pixels and not normalized images
        inputs: makes normalized images of pixels, uint8 (b, C, H, W)
    """
    places = chosen_images(len(split.labels), asked.images)
    for model, _, _ in networks:
        model.eval()

    def scored(change: Change) -> list[float]:
        right = [0] * len(networks)
        for part in places.split(batch_size):
            pixels = change(split.images[part], part.tolist())
            normalized = inputs(pixels)
            labels = split.labels[part]
            for place, (model, _, takes_pixels) in enumerate(networks):
                answers = model(pixels if takes_pixels else normalized).argmax(1).cpu()
                right[place] += int((answers == labels).sum())
        return [100 * count / len(places) for count in right]

    clean = scored(lambda images, _: images)
    for name in asked.names:
        for strength in asked.strengths:
            found = scored(lambda images, part, name=name, strength=strength: corrupted(images, part, name, strength))
            for (_, row, _), before, top1 in zip(networks, clean, found, strict=True):
                own = {"images": len(places), "corruption": name, "strength": strength}
                yield {**row, **own, "clean_top1": before, "top1": top1}


def chosen_images(count: int, most: int | None) -> Tensor:
    """The places of the images that are scored, in their order: all, or some that are drawn, since a split may lie
    class after class."""
    if most is None or most >= count:
        return torch.arange(count)
    order = np.random.Generator(np.random.PCG64(key("corrupted images", count))).permutation(count)
    return torch.from_numpy(np.sort(order[:most]))


def mean_error(found: Sequence[Mapping[str, Any]]) -> float:
    """Top-1 error in percent of one network's rows, a mean over corruptions and strengths."""
    return sum(100 - row["top1"] for row in found) / len(found)
