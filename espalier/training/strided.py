"""Strided 1x1 convolutions of few channels, kept from a oneDNN kernel that writes past its memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType

from torch import Tensor, nn
from torch.nn.functional import conv2d

_BLOCK = 16
"""Channels that oneDNN's kernels take at once, at most."""


@contextmanager
def sound(model: nn.Module) -> Iterator[None]:
    """Let the strided 1x1 convolutions of a network on a CPU read every s-th pixel first, which is the same sum.

    In NHWC order, with fewer input channels than the kernel takes at once, oneDNN's gradient of such a layer's weight
    overruns its workspace: a crash, or wrong numbers (github.com/uxlfoundation/oneDNN/issues/6035).
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d) and _affected(layer)]
    for layer in layers:
        layer.forward = MethodType(_subsampled, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _affected(layer: nn.Conv2d) -> bool:
    strided = layer.kernel_size == (1, 1) and layer.stride != (1, 1) and layer.padding in ((0, 0), "valid")
    return strided and layer.in_channels // layer.groups < _BLOCK and layer.weight.device.type == "cpu"


def _subsampled(layer: nn.Conv2d, x: Tensor) -> Tensor:
    rows, columns = layer.stride
    return conv2d(x[:, :, ::rows, ::columns], layer.weight, layer.bias, groups=layer.groups)
