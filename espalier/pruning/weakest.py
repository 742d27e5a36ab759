"""Which weights go: those of least magnitude, or any; of each layer, or of all layers together.

Counts are exact, and of equal scores the earlier weight goes, so that the same weights go on every machine.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from espalier.pruning.masks import Masks, everything

Scope = Literal["layer", "global"]

FLOOR = 0.01
"""Fraction of a layer's weights that stays. Without it, what all layers rank together may empty one of them."""


def magnitude(
    weights: Mapping[str, Tensor],
    sparsity: float,
    scope: Scope = "layer",
    floor: float | None = FLOOR,
    masks: Masks | None = None,
) -> Masks:
    """Drop the weights of least magnitude, as many of each layer (or of all) as torch.nn.utils.prune would.

    Args:
        sparsity: fraction of the weights dropped in the end
        floor: least fraction of each layer's weights that stays, and never less than one weight an output channel;
            None for no floor. Where it allows less, less is dropped.
        masks: what they dropped stays dropped, and counts
    """
    return _dropped(weights, _magnitudes(weights), masks, scope, floor, _up_to(sparsity))


def random(
    weights: Mapping[str, Tensor],
    sparsity: float,
    key: int,
    scope: Scope = "layer",
    floor: float | None = FLOOR,
    masks: Masks | None = None,
) -> Masks:
    """Drop as many weights as `magnitude`, drawn by a `seeding.key`: the control."""
    return _dropped(weights, _drawn(weights, key), masks, scope, floor, _up_to(sparsity))


def step(
    weights: Mapping[str, Tensor],
    masks: Masks,
    fraction: float,
    scope: Scope = "global",
    floor: float | None = FLOOR,
    key: int | None = None,
) -> Masks:
    """Drop int(fraction · n) of the n weights that are left, those of least magnitude, or drawn by a key.

    Once every layer is at its floor nothing more is dropped, and `kept` is what it was.
    """
    scores = _magnitudes(weights) if key is None else _drawn(weights, key)
    return _dropped(weights, scores, masks, scope, floor, lambda total, kept: int(fraction * kept))


def allotted(weights: Mapping[str, Tensor], dropped: Mapping[str, int], masks: Masks, key: int | None = None) -> Masks:
    """Drop weights of least magnitude, or drawn by a key, until so many of each layer are dropped.

    Args:
        dropped: path → weights dropped in the end, of which those that the masks dropped are a part
    """
    scores = _magnitudes(weights) if key is None else _drawn(weights, key)
    going = {}
    for path, mask in masks.items():
        ranked = _ranked(scores[path], mask)
        going[path] = ranked[: max(0, dropped[path] - (mask.numel() - len(ranked)))]
    return Masks(weights, {path: _without(masks[path], places) for path, places in going.items()})


def least(weight: Tensor, floor: float | None) -> int:
    """How many of a layer's weights stay."""
    return 0 if floor is None else max(math.ceil(floor * weight.numel()), weight.shape[0])


def _up_to(sparsity: float) -> Callable[[int, int], int]:
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity is at least 0 and below 1, not {sparsity}")
    return lambda total, kept: max(0, round(sparsity * total) - (total - kept))


def _magnitudes(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {path: weight.detach().abs() for path, weight in weights.items()}


def _drawn(weights: Mapping[str, Tensor], key: int) -> dict[str, Tensor]:
    rng = np.random.Generator(np.random.PCG64(key))
    return {path: torch.from_numpy(rng.random(weight.shape)).to(weight.device) for path, weight in weights.items()}


def _dropped(
    weights: Mapping[str, Tensor],
    scores: Mapping[str, Tensor],
    masks: Masks | None,
    scope: Scope,
    floor: float | None,
    count: Callable[[int, int], int],
) -> Masks:
    """`count` says of how many weights, given all and those kept, how many go."""
    masks = everything(weights) if masks is None else Masks(weights, masks)
    kept = {path: int(mask.sum()) for path, mask in masks.items()}
    spare = {path: max(0, kept[path] - least(weight, floor)) for path, weight in weights.items()}
    if scope == "layer":
        spare = {path: min(spare[path], count(weight.numel(), kept[path])) for path, weight in weights.items()}
        going = {path: _ranked(scores[path], masks[path])[: spare[path]] for path in weights}
    elif scope == "global":
        ranked = {path: _ranked(scores[path], masks[path])[: spare[path]] for path in weights}
        going = _lowest({path: scores[path].flatten() for path in weights}, ranked, count(masks.total, masks.kept))
    else:
        raise ValueError(f"scope is layer or global, not {scope!r}")
    return Masks(weights, {path: _without(masks[path], places) for path, places in going.items()})


def _ranked(scores: Tensor, kept: Tensor) -> Tensor:
    """Flat places of the kept weights, the first to go first."""
    places = kept.flatten().nonzero().flatten()
    return places[scores.flatten()[places].argsort(stable=True)]


def _lowest(scores: Mapping[str, Tensor], places: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Of places in several layers, those of the `count` lowest scores of all."""
    together = torch.cat([scores[path][at] for path, at in places.items()])
    chosen = torch.zeros_like(together, dtype=torch.bool)
    chosen[together.argsort(stable=True)[:count]] = True
    parts = chosen.split([len(at) for at in places.values()])
    return {path: at[part] for (path, at), part in zip(places.items(), parts, strict=True)}


def _without(mask: Tensor, places: Tensor) -> Tensor:
    return mask.flatten().index_fill(0, places, False).view(mask.shape)
