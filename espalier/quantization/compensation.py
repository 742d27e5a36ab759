"""Rounding in which the weights still to be rounded make up for the errors of those already rounded."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from espalier.quantization.qparams import QParams, Quantized
from espalier.site.device import exact

_DAMPING = 0.01
"""Share of the mean of the Hessian's diagonal that is added to it."""
_ROUNDS = 3
"""How often levels are settled under a scale and the scale fitted to the levels."""
_SHARES = tuple(1.3 - step / 20 for step in range(18))
"""Multiples of the given scale that are tried."""
_TOGETHER = 1 << 24
"""Numbers of the matrices that are inverted at once."""


def compensated(weight: Tensor, hessian: Tensor, qparams: QParams) -> Quantized:
    """Quantize a weight with compensated rounding: a small error of the layer's outputs instead of its weights.

    Columns are rounded one by one, from the most to the least important input; the error of each is passed on to the
    rest of its row by the Cholesky factor of the inverse Hessian (GPTQ, Frantar et al. 2022, arXiv 2210.17323).
    Coordinate descent then improves the levels, alternating with the scale of least squares. A zero of a pruned network
    stays zero: each row uses the Hessian of its own non-zero weights (as in Optimal Brain Compression, arXiv
    2208.11580), so that no error is passed on to a pruned weight.

    Args:
        hessian: (groups, weights of a row, the same), from `hessians`
        qparams: symmetric; one scale per tensor, which is kept, or one per row, which is where the search begins

    Raises:
        ValueError: the qparams are asymmetric.
    """
    if qparams.lowest != -qparams.highest:
        raise ValueError("compensated rounding needs symmetric levels")
    # Factors of Cholesky need float64, which some devices lack.
    place = weight.device if exact(weight.device) == torch.float64 else torch.device("cpu")
    rows = weight.detach().to(place).double().flatten(1)
    scale = qparams.scale.to(place).double().reshape(-1, 1).expand(len(rows), 1).clone()
    group = torch.arange(len(rows), device=rows.device) // (len(rows) // len(hessian))
    hessian = _damped(hessian.to(place).double())
    found, kept = torch.zeros_like(rows), rows != 0
    fitted = qparams.scale.numel() > 1
    for here, columns, matrices in batches(kept, hessian, group):
        part = here[:, None], columns
        found[part], scale[here] = _rounded(rows[part], matrices, scale[here], qparams.highest, fitted)
    if fitted:
        qparams = qparams._replace(scale=scale.float().view_as(qparams.scale).to(weight.device))
    return Quantized(found.int().view(weight.shape).to(weight.device), qparams)


def batches(kept: Tensor, hessian: Tensor, group: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Rows to be rounded at once, their columns in order of importance, and the Hessians of these.

    Rows (n,), columns (n, k), Hessians (n, k, k); (1, k, k) where rows without zeros share one.
    """
    importance = hessian.diagonal(dim1=1, dim2=2)
    if len(hessian) < len(kept) and bool(kept.all()):
        for one, order in enumerate(importance.argsort(dim=1, descending=True, stable=True)):
            here = (group == one).nonzero().flatten()
            yield here, order.expand(len(here), -1), hessian[one][order][:, order].unsqueeze(0)
        return
    order = torch.where(kept, importance[group], -1).argsort(dim=1, descending=True, stable=True)
    counts = kept.sum(1)
    left = counts.argsort(dim=0, stable=True)[int((counts == 0).sum()) :]
    while len(left):
        # Rows are sorted by their number of weights. The last has the most; the others are padded with their zeros.
        width = int(counts[left[-1]])
        here = left[-max(1, _TOGETHER // width**2) :]
        here = here[counts[here] > width // 2]
        left = left[: len(left) - len(here)]
        columns = order[here, :width]
        real = kept[here[:, None], columns]
        matrices = hessian[group[here, None, None], columns[:, :, None], columns[:, None, :]]
        matrices *= real[:, :, None] & real[:, None, :]
        matrices.diagonal(dim1=1, dim2=2).add_(~real)
        yield here, columns, matrices


def _damped(hessian: Tensor) -> Tensor:
    """The Hessian, scaled to a mean of 1 along its diagonal, with damping; the identity where no input varies."""
    mean = hessian.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    identity = torch.eye(hessian.shape[1], dtype=hessian.dtype, device=hessian.device)
    return torch.where(mean > 0, hessian / mean + _DAMPING * identity, identity)


def _rounded(rows: Tensor, hessian: Tensor, scale: Tensor, highest: int, fitted: bool) -> tuple[Tensor, Tensor]:
    """Levels, (n, k), and scales, (n, 1)."""
    if fitted:
        scale = _tried(rows, hessian, scale, highest)
    nearest = (rows / scale).round().clamp(-highest, highest)
    passed = passed_on(rows, hessian, scale, lambda column, wish, spread: wish.round().clamp(-highest, highest))
    worse = _error(passed * scale - rows, hessian) > _error(nearest * scale - rows, hessian)
    levels = torch.where(worse, nearest, passed)
    for _ in range(_ROUNDS):
        levels = _settled(levels, rows, hessian, scale, highest)
        if fitted:
            scale = _least_squares(levels, rows, hessian, scale)
    return levels, scale


def _tried(rows: Tensor, hessian: Tensor, scale: Tensor, highest: int) -> Tensor:
    """The multiple of each scale under which plain rounding errs least."""
    best, least = scale, torch.full_like(scale, torch.inf)
    for share in _SHARES:
        tried = share * scale
        error = _error((rows / tried).round().clamp(-highest, highest) * tried - rows, hessian)
        best = torch.where(error < least, tried, best)
        least = torch.minimum(error, least)
    return best


def passed_on(rows: Tensor, hessian: Tensor, scale: Tensor, choose: Callable[[int, Tensor, Tensor], Tensor]) -> Tensor:
    """Levels, (n, k), chosen column by column; the error of a weight is passed on to those behind it in its row.

    Args:
        hessian: (n, k, k), or (1, k, k)
        scale: (n, 1)
        choose: takes a column, what its weights would be in steps, (n,), and the share of the square of such a weight's
            error that those behind it cannot make up for, (n,) or (1,); gives its levels, (n,)
    """
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    factor = torch.linalg.cholesky(inverse, upper=True)
    rows, levels, scale = rows.clone(), torch.empty_like(rows), scale[:, 0]
    for column in range(rows.shape[1]):
        own = factor[:, column, column]
        levels[:, column] = choose(column, rows[:, column] / scale, own**-2)
        error = (rows[:, column] - levels[:, column] * scale) / own
        rows[:, column:] -= error[:, None] * factor[:, column, column:]
    return levels


def _settled(levels: Tensor, rows: Tensor, hessian: Tensor, scale: Tensor, highest: int) -> Tensor:
    """Each weight in turn on the level that is best beside the others; no step makes the error greater."""
    levels, slope = levels.clone(), _times(levels * scale - rows, hessian)
    for column in range(rows.shape[1]):
        wish = levels[:, column] - slope[:, column] / (hessian[:, column, column] * scale[:, 0])
        change = wish.round().clamp(-highest, highest) - levels[:, column]
        slope += (change * scale[:, 0])[:, None] * hessian[:, column]
        levels[:, column] += change
    return levels


def _least_squares(levels: Tensor, rows: Tensor, hessian: Tensor, scale: Tensor) -> Tensor:
    moved = _times(levels, hessian)
    size, along = (levels * moved).sum(1, keepdim=True), (rows * moved).sum(1, keepdim=True)
    # A float32 is what is kept.
    return torch.where((size > 0) & (along > 0), along / size, scale).float().double()


def _times(rows: Tensor, hessian: Tensor) -> Tensor:
    return rows @ hessian[0] if len(hessian) == 1 else (rows[:, None] @ hessian)[:, 0]


def _error(rows: Tensor, hessian: Tensor) -> Tensor:
    return (_times(rows, hessian) * rows).sum(1, keepdim=True)
