"""The widths of a pruned network as plain JSON, and a network built anew cut to them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from espalier.errors import Mistake
from espalier.models.facts import around, heads_left

WIDTHS: dict[type[nn.Module], tuple[str, ...]] = {
    _ConvNd: ("in_channels", "out_channels", "groups"),
    nn.Linear: ("in_features", "out_features"),
    _BatchNorm: ("num_features",),
    nn.LayerNorm: ("normalized_shape",),
}
"""What each kind of layer says of its own width."""
HEADS = "num_heads"
"""What the module around an attention's projection says."""


def shapes(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Path → widths of each convolution, linear layer and normalization, and shapes of the tensors of other modules.

    All are there, pruned or not, so that the result depends on this network alone; an attention is there with its
    `num_heads` where it has lost some.
    """
    found = {path: _widths(module) for path, module in model.named_modules()}
    for path, heads in heads_left(model).items():
        if heads != model.facts.attention_heads[path]:
            found[around(path)][HEADS] = heads
    return {path: told for path, told in found.items() if told}


def rebuild(model: nn.Module, widths: Mapping[str, Mapping[str, Any]]) -> nn.Module:
    """Cut a network built anew to the `shapes` of a pruned one, in place, so that its weights can be loaded.

    Until then it keeps the values of its first channels, a start for training from scratch. Parameters that are cut
    are new objects. Works on the meta device.

    Raises:
        Mistake: these are the shapes of another network.
    """
    modules = dict(model.named_modules())
    whole = shapes(model)
    for path, heads in heads_left(model).items():
        if HEADS in widths.get(around(path), {}):
            whole.setdefault(around(path), {})[HEADS] = heads
    if unpaired := widths.keys() ^ whole.keys():
        raise _misfit(model, sorted(unpaired)[0], "only one of the two has it")
    for path, own in widths.items():
        if own == whole[path]:
            continue
        if own.keys() != whole[path].keys() or not all(_within(own[name], whole[path][name]) for name in own):
            raise _misfit(model, path, f"{dict(whole[path])} cannot be cut to {dict(own)}")
        for name, tensor in _tensors(modules[path]).items():
            _cut(modules[path], name, tensor, _shape(modules[path], name, tensor, own))
        for name in own.keys() & {*_names(modules[path]), HEADS}:
            setattr(modules[path], name, tuple(own[name]) if isinstance(own[name], list) else own[name])
    return model


def _within(new: Any, old: int | list[int]) -> bool:
    if isinstance(old, list):
        return isinstance(new, list) and len(new) == len(old) and all(map(_within, new, old))
    return type(new) is int and 0 < new <= old


def _names(module: nn.Module) -> tuple[str, ...]:
    return next((names for kind, names in WIDTHS.items() if isinstance(module, kind)), ())


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}


def _widths(module: nn.Module) -> dict[str, Any]:
    if names := _names(module):
        found = {name: getattr(module, name) for name in names}
    else:
        found = {name: tensor.shape for name, tensor in _tensors(module).items()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _shape(module: nn.Module, name: str, tensor: Tensor, widths: Mapping[str, Any]) -> list[int]:
    """The shape of one of a module's tensors at the widths that it is told."""
    if isinstance(module, _ConvNd | nn.Linear):
        inputs, outputs, *groups = (widths[width] for width in _names(module))
        return [outputs, inputs // (groups or [1])[0], *tensor.shape[2:]] if name == "weight" else [outputs]
    if isinstance(module, _BatchNorm):
        return [widths["num_features"]] if tensor.ndim else []
    if isinstance(module, nn.LayerNorm):
        return widths["normalized_shape"]
    return widths[name]


def _cut(module: nn.Module, name: str, tensor: Tensor, shape: list[int]) -> None:
    smaller = tensor.detach()[tuple(slice(size) for size in shape)].clone()
    if isinstance(tensor, nn.Parameter):
        setattr(module, name, nn.Parameter(smaller, tensor.requires_grad))
    else:
        setattr(module, name, smaller)


def _misfit(model: nn.Module, path: str, why: str) -> Mistake:
    return Mistake(f"{type(model).__name__}: these shapes are of another network ({path}: {why}); prune this one anew")


@torch.no_grad()
def initialized(fresh: nn.Module, widths: dict[str, Any]) -> nn.Module:
    """A freshly initialized network cut to `widths`, in place (Liu et al. 2019, arXiv 1810.05270).

    Every tensor is the corner of the network's own initialization, weights scaled so that the variance of a layer's
    outputs stays what it was with more inputs; so each family keeps its way to initialize.
    """
    full = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    model = rebuild(fresh, widths)
    for name, tensor in model.state_dict().items():
        old = full[name]
        corner = old[tuple(slice(size) for size in tensor.shape)]
        narrowed = tensor.dim() > 1 and name.endswith("weight")
        tensor.copy_(corner * (old[0].numel() / tensor[0].numel()) ** 0.5 if narrowed else corner)
    return model
