"""Levels chosen for a small error and for few bits at once."""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from espalier.quantization.compensation import batches, passed_on
from espalier.quantization.level_bits import Bits, level_bits
from espalier.quantization.qparams import QParams, Quantized
from espalier.quantization.weights import Granularity

_DAMPING = 0.01
"""Share of the mean of the second moments' diagonal that is added to it."""
_TINY = 1e-30
_ROUNDS = 4
"""How often levels are chosen by the bits that the levels before say, and steps fitted to the levels."""
_PASSES = 2
"""In how many of these rounds errors are first passed on along the rows."""


def rate_distortion(
    weight: Tensor,
    second: Tensor,
    sensitivity: Tensor,
    price: float,
    highest: int,
    granularity: Granularity = "channel",
) -> Quantized:
    """Quantize a weight so that error + price × bits is small.

    The error approximates the mean square change of the logits: g eᵀ H e for the error e of a row. The first step size
    is that where one more bit a weight would save as much error as it costs, sqrt(6 price / (ln 2 g h)) for uniform
    errors, with h the mean of H's diagonal. Levels are first chosen column by column; those behind make up for the
    error, as in `compensated`. Two updates then alternate. Each level in turn becomes the best one given the others: 0,
    or one next to the value that is optimal given the rest of its row. And each step size becomes that of least squares
    for its levels. This is rate-distortion optimization as in DeepCABAC (Wiedemann et al. 2019, arXiv
    1907.11900), with the error of outputs in place of that of weights. Bits are those of `level_bits`. A weight that is
    0 stays 0; others may become 0.

    Args:
        weight: float32 (rows, ...)
        second: H, (groups, weights of a row, the same), from `hessians`
        sensitivity: g, (rows,), from `sensitivities`
        price: mean squared change of the logits that one bit is worth
        highest: greatest magnitude of a level
        granularity: a step size for each row, or one for all
    """
    rows = weight.detach().cpu().double().flatten(1).numpy()
    moments = _damped(second.detach().cpu().double().numpy())
    group = np.arange(len(rows)) // (len(rows) // len(moments))
    count = (rows != 0).sum(1)
    read = (moments.diagonal(axis1=1, axis2=2)[group] * (rows != 0)).sum(1)
    g = _tempered(sensitivity.cpu().double().numpy(), read, count)
    shared = granularity == "tensor"
    steps = _first_steps(rows, read * g, price, highest, shared)
    layer = _Layer(rows, moments, group, g, price, highest)
    levels = np.clip(np.rint(rows / steps[:, None]), -highest, highest).astype(np.int64)
    for turn in range(_ROUNDS):
        if turn < _PASSES:
            levels = layer.compensated(levels, steps)
        slope = _times(levels * steps[:, None] - rows, moments)
        _compiled()(levels, slope, rows, moments, group, g, steps, price, *level_bits(levels, highest))
        moved = _times(levels, moments)
        size, along = (levels * moved).sum(1), (rows * moved).sum(1)
        if shared:
            size, along = np.full_like(size, (g * size).sum()), np.full_like(along, (g * along).sum())
        # A float32 is what is kept.
        steps = np.where((size > 0) & (along > 0), along / np.where(size > 0, size, 1.0), steps)
        steps = steps.astype(np.float32).astype(np.float64)
    found = torch.from_numpy(levels.astype(np.int32)).view(weight.shape).to(weight.device)
    scale = torch.from_numpy(steps).float().view(-1, *[1] * (weight.dim() - 1)).to(weight.device)
    scale = scale.flatten()[0].clone() if shared else scale
    return Quantized(found, QParams(scale, torch.zeros_like(scale, dtype=torch.int32), -highest, highest))


class _Layer(NamedTuple):
    """The rows of a weight, and what an error and a bit of them cost."""

    rows: np.ndarray
    moments: np.ndarray
    group: np.ndarray
    """of the moments, for each row"""
    g: np.ndarray
    price: float
    highest: int

    def compensated(self, levels: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Levels chosen column by column, where the rest of a row makes up for the error; in rows where those given
        cost less, these. int64 (rows, columns)."""
        bits, worth = level_bits(levels, self.highest), self.g * steps**2
        weights, scale, found = torch.from_numpy(self.rows), torch.from_numpy(steps)[:, None], np.zeros_like(levels)
        hessian, group = torch.from_numpy(self.moments), torch.from_numpy(self.group)
        for here, columns, matrices in batches(weights != 0, hessian, group):
            # To numpy a tensor of one index is a number, not an array.
            here, columns = here.numpy(), columns.numpy()
            part = here[:, None], columns
            cells = Bits(bits.zero[part], bits.other[part], bits.magnitude)
            choose = partial(_cheapest, worth[here], self.price, cells)
            found[part] = passed_on(weights[part], matrices, scale[here], choose).numpy()
        found *= self.rows != 0
        less = self._costs(found, steps, bits) < self._costs(levels, steps, bits)
        return np.where(less[:, None], found, levels)

    def _costs(self, levels: np.ndarray, steps: np.ndarray, bits: Bits) -> np.ndarray:
        """Error + price × bits of each row, (rows,)."""
        error = levels * steps[:, None] - self.rows
        spent = np.where(levels != 0, bits.other + bits.magnitude[np.abs(levels)], bits.zero) * (self.rows != 0)
        return self.g * (_times(error, self.moments) * error).sum(1) + self.price * spent.sum(1)


def _cheapest(worth: np.ndarray, price: float, bits: Bits, column: int, wish: Tensor, share: Tensor) -> Tensor:
    """The level of each row in a column that costs least, float64 (n,), as `passed_on` asks for it.

    Args:
        worth: cost of the square of an error of one step, in each row, (n,)
        bits: of the rows and columns at hand
    """
    near = np.minimum(np.floor(np.abs(wish.numpy())), len(bits.magnitude) - 2).astype(np.int64)
    sizes = np.stack([np.zeros_like(near), near, near + 1])
    spent = np.where(sizes == 0, bits.zero[:, column], bits.other[:, column] + bits.magnitude[sizes])
    costs = worth * share.numpy() * (np.abs(wish.numpy()) - sizes) ** 2 + price * spent
    best = np.take_along_axis(sizes, costs.argmin(0)[None], 0)[0]
    return torch.from_numpy(best * np.sign(wish.numpy()))


def _damped(second: np.ndarray) -> np.ndarray:
    mean = second.diagonal(axis1=1, axis2=2).mean(1)[:, None, None]
    return second + _DAMPING * np.where(mean > 0, mean, 1.0) * np.eye(second.shape[1])


def _tempered(g: np.ndarray, read: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Sensitivities half way, on a logarithmic scale, between those measured and that of a middling row, (rows,).

    Errors of one layer change what those of the next one do, and a few images measure a row with noise.

    Args:
        read: sum of H's diagonal over the weights of a row that are not zero, (rows,)
        count: how many these are, (rows,)
    """
    share = np.where(read > 0, read, 1.0) / np.maximum(count, 1)
    own = np.maximum(g * share, _TINY)
    live = (count > 0) & (g > 0)
    return np.sqrt(own * (np.median(own[live]) if live.any() else 1.0)) / share


def _first_steps(rows: np.ndarray, weighed: np.ndarray, price: float, highest: int, shared: bool) -> np.ndarray:
    """Step of each row, (rows,), no finer than its greatest weight allows.

    Args:
        weighed: g times the sum of H's diagonal over the weights of a row that are not zero, (rows,)
    """
    count, most = (rows != 0).sum(1), np.abs(rows).max(1)
    if shared:
        count, weighed, most = (np.full(len(rows), one) for one in (count.sum(), weighed.sum(), most.max()))
    best = np.sqrt(6 * price * count / (np.log(2) * np.where(weighed > 0, weighed, 1.0)))
    return np.where(most > 0, np.clip(best, most / highest, 2 * most), 1.0)


def _times(rows: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Rows times the moments of their group, (rows, columns)."""
    return np.matmul(rows.reshape(len(moments), -1, rows.shape[1]), moments).reshape(rows.shape)


def _settle(levels, slope, rows, moments, group, g, steps, price, zero, other, magnitude):
    """Settle all levels once, row by row, in place; plain loops, for numba.

    `slope` is half the slope of a row's error, (rows, columns), by each of its weights, and changes with the levels.
    """
    count = rows.shape[1]
    highest = len(magnitude) - 1
    places = np.empty(count, np.int64)
    for i in range(len(rows)):
        n = 0
        for j in range(count):
            if rows[i, j] != 0.0:
                places[n] = j
                n += 1
        a, step = moments[group[i]], steps[i]
        for k in range(n):
            j = places[k]
            now, own = levels[i, j], a[j, j]
            wish = now - slope[i, j] / (own * step)
            near = min(np.int64(np.floor(abs(wish))), highest)
            sign = 1 if wish >= 0 else -1
            best, least = np.int64(0), np.inf
            for size in (0, near - 1, near, near + 1):
                if size < 0 or size > highest or (size == 0 and least < np.inf):
                    continue
                change = (sign * size - now) * step
                cost = g[i] * (2 * slope[i, j] * change + own * change * change)
                cost += price * (zero[i, j] if size == 0 else other[i, j] + magnitude[size])
                if cost < least:
                    best, least = sign * size, cost
            change = (best - now) * step
            if change != 0.0:
                levels[i, j] = best
                for m in range(n):
                    slope[i, places[m]] += a[j, places[m]] * change


@cache
def _compiled() -> Callable[..., None]:
    """`_settle` as machine code, kept between processes where there is a folder to write to."""
    import numba

    try:
        return numba.njit(_settle, cache=True)
    except RuntimeError:
        return numba.njit(_settle)
