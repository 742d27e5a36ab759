"""Second moments of what a layer reads: how an error of its weights becomes an error of its outputs."""

from collections.abc import Collection, Iterable

from torch import Tensor, nn
from torch.nn.functional import pad, unfold

from espalier.quantization.inputs import Inputs


def patches(layer: nn.Module, x: Tensor) -> Tensor:
    """The vectors that the rows of a layer's weight are multiplied with, (groups, weights of a row, places)."""
    if isinstance(layer, nn.Linear):
        return x.reshape(1, -1, x.shape[-1]).transpose(1, 2)
    if layer.groups == 1 and set(layer.kernel_size) == {1} and not any(layer._reversed_padding_repeated_twice):
        x = x[:, :, :: layer.stride[0], :: layer.stride[1]]
        return x.permute(1, 0, 2, 3).flatten(1).unsqueeze(0)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    x = pad(x, layer._reversed_padding_repeated_twice, mode)
    columns = unfold(x, layer.kernel_size, layer.dilation, stride=layer.stride)
    return columns.unflatten(1, (layer.groups, -1)).permute(1, 2, 0, 3).flatten(2)


def hessians(
    model: nn.Module, inputs: Inputs, batches: Iterable[Tensor], centred: Collection[str] = ()
) -> dict[str, Tensor]:
    """Path → mean of x xᵀ over the vectors x that a layer reads, float32 (groups, weights of a row, the same).

    The squared error of the outputs under an error e of a row is eᵀ H e, up to a factor.

    Args:
        centred: layers whose outputs' means do not matter, since a normalization takes them away; theirs is the
            covariance of x
    """
    sums: dict[str, tuple[Tensor, Tensor, int]] = {}
    origins: dict[str, Tensor] = {}

    def look(path: str, x: Tensor) -> None:
        columns = patches(inputs.layers[path], x.float())
        if path in centred:
            # Counted from about the mean: a variance is no small difference of great numbers.
            columns = columns - origins.setdefault(path, columns.mean(2, keepdim=True))
        second, first, places = sums.get(path, (0, 0, 0))
        sums[path] = (second + columns @ columns.transpose(1, 2), first + columns.sum(2), places + columns.shape[2])

    inputs.observe(model, batches, look)
    found = {}
    for path, (second, first, places) in sums.items():
        found[path] = second / places
        if path in centred:
            mean = first / places
            found[path] -= mean[:, :, None] * mean[:, None, :]
    return found
