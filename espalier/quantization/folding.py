"""Batch normalization folded into the convolution or linear layer before it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from espalier.quantization.qparams import QParams, Quantized


class _Uses(TorchFunctionMode):
    """Counts, for tensors of interest, the operations that make a tensor of them."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[int] = Counter()
        self.watched: dict[int, Tensor] = {}
        """id → tensor, which keeps the id from being given to another"""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):
            self.count.update({id(leaf) for leaf in tree_leaves((args, kwargs))} & self.watched.keys())
        return result


@torch.no_grad()
def foldable(model: nn.Module, image: Tensor) -> dict[str, str]:
    """Path of each convolution and linear layer → path of the normalization that alone reads its output.

    One forward pass of `image`, (1, C, H, W), finds them, whatever the code of the network looks like. A layer or a
    normalization that runs more than once, or not at all, is not among them; nor is one without running statistics.
    """
    uses, writers, pairs = _Uses(), {}, {}
    calls: Counter[str] = Counter()

    def written(path: str) -> Any:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            calls[path] += 1
            uses.watched[id(output)] = output
            writers[id(output)] = path

        return hook

    def read(path: str) -> Any:
        def hook(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            calls[path] += 1
            if id(inputs[0]) in writers:
                pairs[path] = id(inputs[0])

        return hook

    hooks = []
    for path, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, _ConvNd | nn.Linear):
            hooks.append(module.register_forward_hook(written(path)))
        elif isinstance(module, _BatchNorm) and module.track_running_stats:
            hooks.append(module.register_forward_pre_hook(read(path)))
    try:
        with uses:
            model.eval()(image)
    finally:
        for hook in hooks:
            hook.remove()
    return {
        writers[output]: norm
        for norm, output in pairs.items()
        if uses.count[output] == 1 and calls[norm] == 1 and calls[writers[output]] == 1
    }


@torch.no_grad()
def fold(model: nn.Module, pairs: dict[str, str]) -> nn.Module:
    """Multiply each normalization into its layer, in place, and put an identity in its stead; outputs stay.

    The evaluation mode's statistics are used, so the network is not to be trained any more. Levels of one scale a
    channel stay the same: folding multiplies a filter by one number, which its scale takes up.

    Args:
        pairs: layer → normalization, as `foldable` finds them
    """
    for path, norm_path in pairs.items():
        layer, norm = model.get_submodule(path), model.get_submodule(norm_path)
        fuse = fuse_linear_bn_weights if isinstance(layer, nn.Linear) else fuse_conv_bn_weights
        statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
        layer.weight, layer.bias = fuse(layer.weight, layer.bias, *statistics)
        model.set_submodule(norm_path, _rest(norm))
    return model


def folded_levels(model: nn.Module, weights: Mapping[str, Quantized], pairs: Mapping[str, str]) -> dict[str, Quantized]:
    """The same levels with scales that take up the normalizations behind them; asked before `fold` removes these.

    Args:
        pairs: layer → normalization, as `foldable` finds them
    """
    return {
        path: _scaled(each, model.get_submodule(pairs[path])) if path in pairs else each
        for path, each in weights.items()
    }


def _scaled(weight: Quantized, norm: nn.Module) -> Quantized:
    factor = torch.rsqrt(norm.running_var + norm.eps)
    factor = factor if norm.weight is None else factor * norm.weight
    factor = factor.reshape(-1, *[1] * (weight.levels.ndim - 1))
    scale, zero_point, lowest, highest = weight.qparams
    zero_point = zero_point.expand_as(scale * factor).contiguous()
    # A filter of zeros may have any scale; the same one for all such filters is compressed away.
    live = (weight.levels != zero_point).flatten(1).any(1).reshape(factor.shape)
    return Quantized(weight.levels, QParams(torch.where(live, scale * factor, 0.0), zero_point, lowest, highest))


def _rest(norm: nn.Module) -> nn.Module:
    """What a normalization does beside normalizing: timm's has dropout and an activation in it."""
    parts = [part for name, part in norm.named_children() if not isinstance(part, nn.Identity)]
    return nn.Sequential(*parts) if parts else nn.Identity()
