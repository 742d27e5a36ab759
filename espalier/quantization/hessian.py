"""Second moments of what a layer reads: how an error of its weights becomes an error of its outputs."""

from collections.abc import Collection, Iterable, Iterator
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, unfold

from espalier.quantization.inputs import Inputs
from espalier.site.device import exact


def patches(layer: nn.Module, x: Tensor) -> Tensor:
    """The vectors that the rows of a layer's weight are multiplied with, (groups, weights of a row, places)."""
    if isinstance(layer, nn.Linear):
        return x.reshape(1, -1, x.shape[-1]).transpose(1, 2)
    if _is_pointwise(layer):
        x = x[:, :, :: layer.stride[0], :: layer.stride[1]]
        return x.permute(0, 2, 3, 1).reshape(1, -1, x.shape[1]).transpose(1, 2)
    columns = unfold(_padded(layer, x), layer.kernel_size, layer.dilation, stride=layer.stride)
    return columns.unflatten(1, (layer.groups, -1)).permute(1, 2, 0, 3).flatten(2)


class Moments:
    """First and second moments of the vectors that a layer reads, over the inputs that `add` is given.

    They are counted from about the mean of the first input: a variance is no small difference of great numbers.
    """

    def __init__(self, layer: nn.Module, *, centred: bool) -> None:
        self.layer, self.centred = layer, centred
        self._origin: Tensor | None = None
        self._first: Tensor | float = 0.0
        self._second: Tensor | float = 0.0
        self._places = 0

    @torch.no_grad()
    def add(self, x: Tensor) -> None:
        """Count an input of the layer, float32."""
        if not isinstance(self.layer, nn.Linear) and self.layer.groups == self.layer.in_channels > 1:
            self._add_depthwise(x)
            return
        for columns in self._columns(x):
            if self.centred:
                if self._origin is None:
                    self._origin = columns.mean(2, keepdim=True)
                columns = columns - self._origin
            self._count(columns.sum(2), columns @ columns.transpose(1, 2), columns.shape[2])

    def hessian(self) -> Tensor:
        """Mean of x xᵀ, or covariance of x where centred, float32 (groups, weights of a row, the same)."""
        second = self._second / self._places
        if self.centred:
            mean = self._first / self._places
            second = second - mean[:, :, None] * mean[:, None, :]
        return second.float()

    def _columns(self, x: Tensor) -> Iterator[Tensor]:
        if isinstance(self.layer, nn.Linear) or _is_pointwise(self.layer):
            yield patches(self.layer, x)
        else:
            # Image by image: columns of many would have to be copied side by side.
            for image in x.split(1):
                yield patches(self.layer, image)

    def _add_depthwise(self, x: Tensor) -> None:
        """Products of the map with itself moved serve all pairs of weights that lie equally far apart."""
        layer = self.layer
        x = _padded(layer, x).permute(0, 2, 3, 1).contiguous()
        if self.centred:
            if self._origin is None:
                self._origin = x.mean((0, 1, 2))
            x = x - self._origin
        (high, wide), (down, right), channels = layer.kernel_size, layer.stride, x.shape[3]
        rows = (x.shape[1] - layer.dilation[0] * (high - 1) - 1) // down + 1
        columns = (x.shape[2] - layer.dilation[1] * (wide - 1) - 1) // right + 1

        def seen(sums: Tensor, row: int, column: int) -> Tensor:
            """Sum of what the weight at a place of the kernel meets, (C,)."""
            top, left = row * layer.dilation[0], column * layer.dilation[1]
            met = sums[top : top + (rows - 1) * down + 1 : down, left : left + (columns - 1) * right + 1 : right]
            return met.sum((0, 1), dtype=exact(met.device))

        total = x.sum(0)
        places = list(product(range(high), range(wide)))
        first = torch.stack([seen(total, *place) for place in places], 1)
        second = first.new_empty(channels, len(places), len(places))
        for below, beside in product(range(high), range(1 - wide, wide)):
            if (below, beside) < (0, 0):
                continue
            sums = _moved_products(x, below * layer.dilation[0], beside * layer.dilation[1])
            for row, column in product(range(high - below), range(max(0, -beside), wide - max(0, beside))):
                one, other = row * wide + column, (row + below) * wide + column + beside
                second[:, one, other] = second[:, other, one] = seen(sums, row, column)
        self._count(first, second, len(x) * rows * columns)

    def _count(self, first: Tensor, second: Tensor, places: int) -> None:
        wide = exact(first.device)
        self._first, self._second = self._first + first.to(wide), self._second + second.to(wide)
        self._places += places


def hessians(
    model: nn.Module, inputs: Inputs, batches: Iterable[Tensor], centred: Collection[str] = ()
) -> dict[str, Tensor]:
    """Path → mean of x xᵀ over the vectors x that a layer reads, float32 (groups, weights of a row, the same).

    The squared error of the outputs under an error e of a row is eᵀ H e, up to a factor.

    Args:
        centred: layers whose outputs' means do not matter, since a normalization takes them away; theirs is the
            covariance of x
    """
    found: dict[str, Moments] = {}

    def look(path: str, x: Tensor) -> None:
        if path not in found:
            found[path] = Moments(inputs.layers[path], centred=path in centred)
        found[path].add(x.float())

    inputs.observe(model, batches, look)
    return {path: moments.hessian() for path, moments in found.items()}


def _is_pointwise(layer: nn.Module) -> bool:
    return layer.groups == 1 and set(layer.kernel_size) == {1} and not any(layer._reversed_padding_repeated_twice)


def _padded(layer: nn.Module, x: Tensor) -> Tensor:
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return pad(x, layer._reversed_padding_repeated_twice, mode)


def _moved_products(x: Tensor, below: int, beside: int) -> Tensor:
    """Sum over images of each number times the one that far below and beside, (H, W, C); 0 where there is none."""
    sums = torch.zeros_like(x[0])
    rows, left, right = x.shape[1] - below, max(0, -beside), x.shape[2] - max(0, beside)
    here = sums[:rows, left:right]
    for image in x:
        here.addcmul_(image[:rows, left:right], image[below:, left + beside : right + beside])
    return sums
