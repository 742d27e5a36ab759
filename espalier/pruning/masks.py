"""Which weights of a network may be zero, which are, and how they stay so."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from espalier.models.facts import facts_of


def weights(
    model: nn.Module, exclude: Collection[str] = (), kinds: tuple[type[nn.Module], ...] = (nn.Conv2d, nn.Linear)
) -> dict[str, nn.Parameter]:
    """Path → weight of each convolution and linear layer, in the order of the network; biases are not among them.

    Args:
        exclude: parts that the network's facts name: first, classifier

    Raises:
        ValueError: a part has another name.
        Mistake: a part is named, and the network has declared no facts.
    """
    if unknown := set(exclude) - {"first", "classifier"}:
        raise ValueError(f"no part {', '.join(sorted(unknown))}; the parts are first, classifier")
    left_out = {getattr(facts_of(model), part) for part in exclude}
    return {
        f"{path}.weight": layer.weight
        for path, layer in model.named_modules()
        if isinstance(layer, kinds) and path not in left_out
    }


class Masks(Mapping[str, Tensor]):
    """Path of a weight → boolean tensor of its shape, on its device, true where the weight is kept.

    Raises:
        ValueError: a weight has no mask or a mask no weight, or a mask has another type or shape.
    """

    def __init__(self, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
        if unpaired := weights.keys() ^ masks.keys():
            raise ValueError(f"weights and masks do not pair up: {', '.join(sorted(unpaired))}")
        for path, mask in masks.items():
            if mask.dtype != torch.bool:
                raise ValueError(f"the mask of {path} is {mask.dtype}, not torch.bool")
            if mask.shape != weights[path].shape:
                raise ValueError(f"the mask of {path} is {tuple(mask.shape)}, its weight {tuple(weights[path].shape)}")
        self._masks = {path: masks[path].to(weight.device) for path, weight in weights.items()}
        self.total = sum(mask.numel() for mask in masks.values())
        self.kept = sum(int(mask.sum()) for mask in masks.values())

    def __getitem__(self, path: str) -> Tensor:
        return self._masks[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)

    @property
    def sparsity(self) -> float:
        """Fraction of the weights that is dropped."""
        return 1 - self.kept / self.total


def everything(weights: Mapping[str, Tensor]) -> Masks:
    """Masks that keep every weight."""
    return Masks(weights, {path: torch.ones_like(weight, dtype=torch.bool) for path, weight in weights.items()})


def from_zeros(model: nn.Module, exclude: Collection[str] = ()) -> Masks:
    """The masks that a network's zeros imply; its file holds no others."""
    found = weights(model, exclude)
    return Masks(found, {path: weight.detach() != 0 for path, weight in found.items()})


def enforcer(model: nn.Module, masks: Masks) -> Callable[[], None]:
    """A function that sets the dropped weights to +0.0, to be called after every step of an optimizer.

    It is made once the network is on its device. Momentum and weight decay may move a dropped weight within a step;
    a product with the mask would leave -0.0, which compares equal and compresses worse.
    """
    parameters = dict(model.named_parameters())
    pairs = [(parameters[path], ~mask.to(parameters[path].device)) for path, mask in masks.items()]

    @torch.no_grad()
    def enforce() -> None:
        for weight, dropped in pairs:
            weight.masked_fill_(dropped, 0.0)

    return enforce


def apply(model: nn.Module, masks: Masks) -> None:
    """Set the dropped weights to +0.0, in place."""
    enforcer(model, masks)()


class LayerSparsity(NamedTuple):
    """A row of the table that shows a layer about to collapse."""

    path: str
    weights: int
    nonzeros: int
    sparsity: float


def rows(model: nn.Module, exclude: Collection[str] = ()) -> list[LayerSparsity]:
    """The weights of each layer and how many of them are not zero."""
    found = []
    for path, weight in weights(model, exclude).items():
        nonzeros = int(weight.count_nonzero())
        found.append(LayerSparsity(path, weight.numel(), nonzeros, 1 - nonzeros / weight.numel()))
    return found
