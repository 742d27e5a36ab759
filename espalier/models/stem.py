"""The first convolution of a library's network, which is made for three channels, for images of others."""

from collections.abc import Callable

from torch import Tensor, nn


def of_channels(conv: nn.Conv2d, in_channels: int, start: Callable[[Tensor], object] | None = None) -> nn.Conv2d:
    """`conv` itself where it reads `in_channels`; else one like it that does, with new weights.

    Args:
        start: initializes the new weight, in place, as the network does its own, and the bias is 0 then; None leaves
            both as torch makes them
    """
    if conv.in_channels == in_channels:
        return conv
    bias = conv.bias is not None
    made = nn.Conv2d(in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=bias)
    if start:
        start(made.weight)
        if bias:
            nn.init.zeros_(made.bias)
    return made
