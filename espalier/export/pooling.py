"""Pooling in the words of ONNX, which has no adaptive maximum."""

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d
from torch.nn.modules.utils import _pair


class WindowMaxima(nn.Module):
    """What `nn.AdaptiveMaxPool2d` computes, as maxima of windows that are known once the map's size is.

    Window i of n over a side of length s reaches from floor(i s / n) to ceil((i + 1) s / n).
    """

    def __init__(self, size: int | tuple[int | None, int | None]) -> None:
        super().__init__()
        self.size = _pair(size)

    def forward(self, x: Tensor) -> Tensor:
        sides = x.shape[-2:]
        counts = [side if count is None else count for side, count in zip(sides, self.size, strict=True)]
        if all(side % count == 0 for side, count in zip(sides, counts, strict=True)):
            return max_pool2d(x, [side // count for side, count in zip(sides, counts, strict=True)])
        rows, columns = (_windows(side, count) for side, count in zip(sides, counts, strict=True))
        maxima = [torch.stack([x[..., row, column].amax((-2, -1)) for column in columns], -1) for row in rows]
        return torch.stack(maxima, -2)


def _windows(side: int, count: int) -> list[slice]:
    return [slice(i * side // count, -(-(i + 1) * side // count)) for i in range(count)]


def without_adaptive_maxima(model: nn.Module) -> nn.Module:
    """The network itself, adaptive maxima replaced."""
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.AdaptiveMaxPool2d):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, WindowMaxima(module.output_size))
    return model
