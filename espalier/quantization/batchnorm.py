"""Statistics of batch normalization in a network whose weights or activations have changed."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

Correction = Literal["shifted", "estimated", "kept"]
"""What becomes of running statistics when a network is quantized: `shift`, `reestimate`, or nothing."""

_PIECE = 1 << 18
"""Numbers that stay in a processor's cache from one operation to the next."""


class Moments(NamedTuple):
    """Mean and variance, each (channels,)."""

    mean: Tensor
    variance: Tensor


def tracked(model: nn.Module) -> list[_BatchNorm]:
    """The normalizations that keep running statistics, in the order of the network."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]


def statistics(model: nn.Module) -> list[Moments]:
    """A copy of the running statistics."""
    return [Moments(norm.running_mean.clone(), norm.running_var.clone()) for norm in tracked(model)]


def restore(model: nn.Module, kept: Iterable[Moments]) -> None:
    """Set the running statistics to those kept."""
    for norm, (mean, variance) in zip(tracked(model), kept, strict=True):
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)


@torch.no_grad()
def reestimate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running statistics by averages over batches of unlabelled training images, in place.

    Each batch is normalized by its own statistics; all else runs as in evaluation, where
    `torch.optim.swa_utils.update_bn` would also drop features and blocks. What the statistics were does not matter,
    and those of augmented images, on which the network was trained, are lost.
    """
    norms = tracked(model)
    momenta, counts = [norm.momentum for norm in norms], [norm.num_batches_tracked.clone() for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.training = True
    try:
        for images in batches:
            model(images)
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum, norm.training = momentum, False
            norm.num_batches_tracked.copy_(count)


@torch.no_grad()
def seen(model: nn.Module, batches: Iterable[Tensor]) -> list[dict[int, list[Moments]]]:
    """For each batch: place of a normalization among the tracked → moments of what it reads, a call each.

    The network runs in evaluation mode, so these are what the changes of `shift` are counted from.
    """
    found: list[dict[int, list[Moments]]] = []

    def look(place: int, norm: _BatchNorm, x: Tensor) -> None:
        found[-1].setdefault(place, []).append(_moments(x))

    hooks = _before(model, look)
    try:
        for images in batches:
            found.append({})
            model.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found


@torch.no_grad()
def shift(
    model: nn.Module,
    batches: Sequence[Tensor],
    reference: Sequence[dict[int, list[Moments]]],
    before: Sequence[Moments],
) -> None:
    """Move the running statistics by as much as a change of the network moves them, in place.

    On each batch of unlabelled training images the means move by the difference from those of the unchanged network,
    the variances by the ratio, normalization by normalization, so that each sees what the corrected ones before it
    give. The average over batches is kept. An unchanged network keeps its statistics to the last bit but rounding,
    also where it was trained on images unlike these: estimated anew they would be those of other images.

    Args:
        reference: what `seen` says of the unchanged network on the same batches
        before: the unchanged network's statistics
    """
    norms = tracked(model)
    sums = [Moments(torch.zeros_like(mean), torch.zeros_like(variance)) for mean, variance in before]
    calls = [0] * len(norms)
    expected: dict[int, list[Moments]] = {}
    done: dict[int, int] = {}

    def correct(place: int, norm: _BatchNorm, x: Tensor) -> None:
        call = done.get(place, 0)
        done[place] = call + 1
        now, then, old = _moments(x), expected[place][call], before[place]
        norm.running_mean.copy_(old.mean + (now.mean - then.mean))
        growth = (now.variance - then.variance) / (then.variance + norm.eps)
        norm.running_var.copy_((old.variance + (old.variance + norm.eps) * growth).clamp(min=0))
        sums[place].mean.add_(norm.running_mean)
        sums[place].variance.add_(norm.running_var)
        calls[place] += 1

    hooks = _before(model, correct)
    try:
        for images, batch in zip(batches, reference, strict=True):
            expected, done = batch, {}
            model.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
    restore(
        model,
        [
            Moments(total.mean / count, total.variance / count) if count else old
            for total, count, old in zip(sums, calls, before, strict=True)
        ],
    )


def _before(model: nn.Module, look: Callable[[int, _BatchNorm, Tensor], None]) -> list[RemovableHandle]:
    def hook(place: int) -> Callable:
        return lambda norm, inputs: look(place, norm, inputs[0])

    return [norm.register_forward_pre_hook(hook(place)) for place, norm in enumerate(tracked(model))]


def _moments(x: Tensor) -> Moments:
    """Of each channel; counted from about the mean, so that a variance is no small difference of great numbers."""
    if x.device.type != "cpu":
        return Moments(*reversed(torch.var_mean(x.float(), [dim for dim in range(x.ndim) if dim != 1], correction=0)))
    # torch.var_mean takes many times as long on a CPU, and so do operations on more than its cache holds.
    rows = x.float().movedim(1, -1).flatten(0, -2)
    parts = rows.split(max(1, _PIECE // rows.shape[1]))
    origin = parts[0].mean(0)
    first, second = origin.new_zeros(2, len(origin), dtype=torch.float64)
    for part in parts:
        centred = part - origin
        first += centred.sum(0)
        second += centred.square_().sum(0)
    mean = first / len(rows)
    return Moments((origin + mean).float(), (second / len(rows) - mean.square()).clamp_(min=0).float())
