"""The size and the arithmetic of a network."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.conv import _ConvNd


def params(model: nn.Module) -> int:
    """Numbers that training sets; a tied parameter counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def weighted(model: nn.Module) -> dict[str, nn.Module]:
    """Path → convolution or linear layer."""
    return {path: module for path, module in model.named_modules() if isinstance(module, _ConvNd | nn.Linear)}


def layers(model: nn.Module) -> int:
    """Convolutions and linear layers, those of shortcuts and gates among them; a layer used twice counts once."""
    return len(weighted(model))


def shapes_only(model: nn.Module) -> nn.Module:
    """A copy on the meta device, which runs at no cost and leaves the network's statistics alone."""
    return copy.deepcopy(model).to("meta")


@contextmanager
def _counted(model: nn.Module) -> Iterator:
    """Torch's counter, in evaluation mode; every module gets its mode back."""
    from torch.utils.flop_counter import FlopCounterMode

    modes = {module: module.training for module in model.modules()}
    fast = torch.backends.mha.get_fastpath_enabled()
    # The counter knows neither the fused attention of CPUs nor the fast path of MultiheadAttention.
    torch.backends.mha.set_fastpath_enabled(False)
    model.eval()
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            yield counter
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for module, training in modes.items():
            module.training = training


@torch.no_grad()
def macs(model: nn.Module, image_size: int, channels: int = 3) -> int:
    """Multiply-accumulates of one image's forward pass, in convolutions, matrix products and attention.

    Half of what torch's counter calls FLOPs; additions alone (normalization, activations, pooling) are not counted.
    """
    image = torch.zeros(1, channels, image_size, image_size, device=next(model.parameters()).device)
    with _counted(model) as counter:
        model(image)
    return counter.get_total_flops() // 2


@torch.enable_grad()
def training_macs(model: nn.Module, image_size: int, channels: int = 3) -> int:
    """Multiply-accumulates of one image's forward and backward pass, when every parameter is trained.

    Derived from the forward pass: each product's backward pass is two of its size, one for the gradient of either
    factor. Layers that read the image (no gradient flows to their input) need but one. Torch's counter is not
    asked for the backward pass, where it takes grouped convolutions for full ones.
    """
    model = shapes_only(model)
    first = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal first
        if not inputs[0].requires_grad:
            first += output.numel() * layer.weight[0].numel()

    for layer in weighted(model).values():
        layer.register_forward_hook(count)
    with _counted(model) as counter:
        model(torch.zeros(1, channels, image_size, image_size, device="meta"))
    return 3 * (counter.get_total_flops() // 2) - first
