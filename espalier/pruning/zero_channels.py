"""Channels whose weights are all zero, taken out of a network whose outputs stay what they are."""

import copy
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from espalier.metrics.cost import params, weighted
from espalier.models.facts import facts_of, prunable
from espalier.pruning.graph import pruner, traceable
from espalier.pruning.shapes import rebuild, shapes
from espalier.seeding import key

if TYPE_CHECKING:
    from torch_pruning import BasePruner
    from torch_pruning.dependency import Group, Node

TOLERANCE = 1e-9
"""Greatest change of an output, relative to the greatest output, both in double precision."""


class Removed(NamedTuple):
    channels: int
    params: int


def shrink(model: nn.Module, image_size: int, channels: int = 3, alongside: Sequence[nn.Module] = ()) -> Removed:
    """Remove channels, in place, that contribute nothing in evaluation mode.

    Such a channel is ignored by every layer that reads it (their weights for it are zero), or is zero for every image:
    all filters that write it are zero, and normalization and activation leave it at zero. If they shift it to another
    constant, it stays, since padding puts zeros at its border.

    Never touched are grouped convolutions other than depthwise ones, attention, layers normalized across channels, and
    whatever structured pruning keeps. One channel of a layer always stays. Outputs before and after are compared in
    double precision, to 1e-9 relative; where they differ, nothing is removed.

    Args:
        alongside: networks of the same structure that lose the same channels, whatever their weights are
    """
    before, count, images = params(model), 0, _images(image_size, channels)
    while prunable(model):
        smaller = copy.deepcopy(model)
        with traceable(smaller):
            made = pruner(smaller, image_size, lambda group: None, 0.5, channels=channels)
            paths = {module: path for path, module in smaller.named_modules()}
            going = {paths[layer]: outputs for layer, outputs in _going(made, smaller, _seen(smaller, images))}
            _remove(made, smaller, going)
        if not going or not _equal(model, smaller, images):
            break
        count += sum(map(len, going.values()))
        for other in alongside:
            cut = copy.deepcopy(other)
            with traceable(cut):
                _remove(pruner(cut, image_size, lambda group: None, 0.5, channels=channels), cut, going)
            rebuild(other, shapes(cut)).load_state_dict(cut.state_dict())
        rebuild(model, shapes(smaller)).load_state_dict(smaller.state_dict())
    return Removed(count, before - params(model))


def _remove(made: "BasePruner", model: nn.Module, going: Mapping[str, list[int]]) -> None:
    for path, outputs in going.items():
        layer = model.get_submodule(path)
        remove = made.DG.get_pruner_of_module(layer).prune_out_channels
        made.DG.get_pruning_group(layer, remove, outputs).prune()


def _images(image_size: int, channels: int) -> Tensor:
    """Four images of noise, float64, the same ones every time."""
    rng = np.random.Generator(np.random.PCG64(key("zero channels")))
    return torch.from_numpy(rng.standard_normal((4, channels, image_size, image_size)))


@torch.no_grad()
def _equal(model: nn.Module, smaller: nn.Module, images: Tensor) -> bool:
    exact = [copy.deepcopy(one).double().eval() for one in (model, smaller)]
    expected, found = (one(images.to(next(one.parameters()))) for one in exact)
    return bool((expected - found).abs().max() <= TOLERANCE * expected.abs().max())


@torch.no_grad()
def _seen(model: nn.Module, images: Tensor) -> dict[nn.Module, Tensor]:
    """Convolution or linear layer → for each input channel, whether it ever differs from zero."""
    seen: dict[nn.Module, Tensor] = {}

    def look(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        channel = inputs[0].ndim - 1 if isinstance(layer, nn.Linear) else 1
        nonzero = (inputs[0] != 0).transpose(0, channel).flatten(1).any(1)
        seen[layer] = seen[layer] | nonzero if layer in seen else nonzero

    hooks = [layer.register_forward_hook(look) for layer in weighted(model).values()]
    model(images.to(next(model.parameters())))
    for hook in hooks:
        hook.remove()
    return seen


def _going(made: "BasePruner", model: nn.Module, seen: dict[nn.Module, Tensor]) -> list[tuple[nn.Module, list[int]]]:
    """Layer and those of its outputs that nothing needs."""
    fused = {model.get_submodule(path) for path in facts_of(model).attention_heads}
    found = []
    groups = made.DG.get_all_groups(ignored_layers=made.ignored_layers, root_module_types=made.root_module_types)
    for group in groups:
        layers = [dep.layer for dep, _ in group]
        if made._get_channel_groups(group) > 1 or any(
            isinstance(layer, nn.LayerNorm) or layer in fused for layer in layers
        ):
            continue
        needed = _needed(group, seen)
        if channels := sorted(set(range(len(group[0].idxs))) - (needed or {0})):
            found.append((layers[0], channels))
    return found


def _needed(group: "Group", seen: dict[nn.Module, Tensor]) -> set[int]:
    """The outputs of the group's first layer that a layer reads, neither by zero weights nor always as zero."""
    writers: dict[Node, set[int]] = {}
    readers: dict[Node, tuple[set[int], set[int]]] = {}
    for item in group:
        layer, roots = item.dep.layer, item.root_idxs
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        if group._DG.is_out_channel_pruning_fn(item.dep.handler):
            writers[item.dep.target] = _where(layer.weight[item.idxs].flatten(1).any(1), roots)
        else:
            read = layer.weight.transpose(0, 1)[item.idxs].flatten(1).any(1)
            readers[item.dep.target] = _where(read, roots), _where(read & seen[layer][item.idxs], roots)
    varying = _varying(writers)
    return set().union(*(nonzero | read & varying[node] for node, (read, nonzero) in readers.items()))


def _where(true: Tensor, roots: list[int]) -> set[int]:
    return {root for root, one in zip(roots, true.tolist(), strict=True) if one}


def _varying(writers: "dict[Node, set[int]]") -> "dict[Node, set[int]]":
    """Node → those of a group's channels that may depend on the image where the node reads them.

    Args:
        writers: layers that write the channels → those with a filter that is not zero
    """
    leaving: defaultdict[Node, set[int]] = defaultdict(set)
    arriving: defaultdict[Node, set[int]] = defaultdict(set)
    leaving.update({node: channels for node, channels in writers.items() if not _depthwise(node.module)})
    waiting = list(leaving)
    while waiting:
        node = waiting.pop()
        for reached in node.outputs:
            new = leaving[node] - arriving[reached]
            arriving[reached] |= new
            layer = reached.module
            if new and (_depthwise(layer) or not isinstance(layer, nn.Conv2d | nn.Linear)):
                leaving[reached] |= new & writers[reached] if reached in writers else new
                waiting.append(reached)
    return arriving


def _depthwise(layer: object) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.groups > 1
