"""Steps of the data path compiled for a CPU: one pass over an image where torch makes one an operation.

Each function gives the very bits of the torch operations that it stands for, which stay the reference, and serve GPUs,
small data sets and machines without numba: the same float32 operations in the same order, each rounded once, and
fused only where torch's are. A process takes 0.6 CPU-seconds to load what a policy needs from the cache, which the
first one on a kind of machine fills in 2 to 7; so `resident` imports this where there are images enough. Kernels run
in the thread that calls them, at about the speed of its memory.
"""

from collections.abc import Callable
from functools import partial

import numba
import numpy as np
import torch
from llvmlite import ir
from numba.extending import intrinsic
from torch import Tensor

from espalier.data import colour, fused_colour
from espalier.data.augment.colour import ColorJitter
from espalier.data.augment.erasing import Cutout
from espalier.data.augment.mixing import Cutmix, Mixup
from espalier.data.compiling import compiled
from espalier.data.normalization import Normalization
from espalier.data.operations import Mixing, Normalized, Pixels

_CODES = {
    colour.brighten: fused_colour.BRIGHTEN,
    colour.contrast: fused_colour.CONTRAST,
    colour.saturate: fused_colour.SATURATE,
    colour.turn: fused_colour.TURN,
}
_EXACT = 65_793
"""Pixels up to which the sum of an image's gray values is exact in float32."""


@intrinsic(prefer_literal=True)
def _turn_five(typing, source, start, target, end, lead):
    """Five pixels of three bytes from source[start + lead:], in reverse order and a zero byte after, to target[end:].

    16 bytes are read from `start` on.
    """

    def codegen(context, builder, signature, args):
        vector, word = ir.VectorType(ir.IntType(8), 16), ir.VectorType(ir.IntType(32), 16)

        def place(which: int) -> ir.Value:
            data = context.make_array(signature.args[which])(context, builder, args[which]).data
            return builder.bitcast(builder.gep(data, [args[which + 1]]), vector.as_pointer())

        order = [lead.literal_value + 3 * (4 - byte // 3) + byte % 3 for byte in range(15)] + [16]
        turned = builder.shuffle_vector(
            builder.load(place(0), align=1), ir.Constant(vector, None), ir.Constant(word, order)
        )
        builder.store(turned, place(2), align=1)
        return context.get_dummy_value()

    at = numba.types.int64
    return numba.types.void(source, at, target, at, lead), codegen


@compiled
def _turned(row, target, channels):
    """The pixels of a row (W * C,) in reverse order; `target` has a byte more, which stays 0."""
    span = len(row)
    if channels == 3 and span > 15:
        for start in range(0, span - 15, 15):
            _turn_five(row, span - 16 - start, target, start, 1)
        _turn_five(row, 0, target, span - 15, 0)
    else:
        for pixel in range(0, span, channels):
            for channel in range(channels):
                target[pixel + channel] = row[span - channels - pixel + channel]


@compiled
def _window(image, window, channels, lines):
    """Rows of `image` (H, W * C) as `window` has them, between blank ones in `lines` (H, 3 * W * C), and where in each
    line the window starts."""
    size, span = image.shape
    top, bottom, left, right = window
    for y in range(size):
        source = top + y if bottom >= top else top - y
        if source < 0 or source >= size:
            lines[y] = 0
            continue
        row, line = image[source], lines[y, span : 2 * span]
        if right >= left:
            for place in range(span):
                line[place] = row[place]
        else:
            _turned(row, line, channels)
    first = left if right >= left else size - 1 - left
    return span + channels * max(-size, min(first, size))


@compiled
def _crop(images, index, windows, rows, channels, out):
    size, span = images.shape[1:]
    lines = np.zeros((size, 3 * span), np.uint8)
    for k in range(len(index)):
        first = _window(images[index[k]], windows[rows[k]], channels, lines)
        for y in range(size):
            line, row = lines[y, first : first + span], out[k, y]
            for place in range(span):
                row[place] = line[place]


@compiled
def _crop_and_normalize(images, index, windows, rows, channels, scale, shift, out):
    size, span = images.shape[1:]
    lines = np.zeros((size, 3 * span), np.uint8)
    for k in range(len(index)):
        first = _window(images[index[k]], windows[rows[k]], channels, lines)
        for y in range(size):
            line, row = lines[y, first : first + span], out[k, y]
            for place in range(span):
                row[place] = np.float32(line[place]) * scale[place] + shift[place]


@compiled
def _cut(inputs, tops, lefts, sides):
    size, span = inputs.shape[1:]
    channels = span // size
    for k in range(len(inputs)):
        left, right = max(0, lefts[k]) * channels, min(size, lefts[k] + sides[k]) * channels
        for y in range(max(0, tops[k]), min(size, tops[k] + sides[k])):
            for place in range(left, right):
                inputs[k, y, place] *= np.float32(0)


@compiled
def _blend(inputs, partners, weights):
    for k in range(len(inputs)):
        own, other = weights[k], np.float32(1) - weights[k]
        one, two = inputs[k], partners[k]
        for place in range(len(one)):
            one[place] = one[place] * own + two[place] * other


@compiled
def _paste(inputs, partners, tops, bottoms, lefts, rights):
    size, span = inputs.shape[1:]
    channels = span // size
    box = np.empty(span, np.float32)
    for k in range(len(inputs)):
        for y in range(size):
            own, other = inputs[k, y], partners[k, y]
            box[:] = 0
            if tops[k] <= y < bottoms[k]:
                box[lefts[k] * channels : rights[k] * channels] = 1
            # Added to 0 as lerp does, which may change the sign of a zero.
            for place in range(span):
                chosen = other[place] if box[place] else own[place]
                own[place] = chosen + (other[place] - own[place]) * np.float32(0)


@compiled
def _take_and_normalize(images, index, scale, shift, out):
    size, span = images.shape[1:]
    for k in range(len(index)):
        image = images[index[k]]
        for y in range(size):
            line, row = image[y], out[k, y]
            for place in range(span):
                row[place] = np.float32(line[place]) * scale[place] + shift[place]


def cropped(
    images: Tensor, index: Tensor, windows: Tensor, rows: Tensor, normalize: Normalization | None = None
) -> Tensor:
    """Windows of `images` (N, H, W, C) as `gather` makes them, and normalized where told how: (n, H, W, C).

    Args:
        index: int64 (n,), indices into `images`
        windows: int64 (M, 4), source rows of the first and the last row, and columns likewise; they differ by H - 1,
            and may lie outside
        rows: int64 (n,), indices into `windows`
    """
    shape = (len(index), *images.shape[1:])
    sources = images.flatten(2).numpy(), index.numpy(), windows.numpy(), rows.numpy(), images.shape[3]
    if normalize is None:
        out = torch.empty(shape, dtype=torch.uint8)
        _crop(*sources, out.flatten(2).numpy())
    else:
        out = torch.empty(shape)
        _crop_and_normalize(*sources, normalize.scale.numpy(), normalize.shift.numpy(), out.flatten(2).numpy())
    return out


def normalized(images: Tensor, index: Tensor | None, normalize: Normalization) -> Tensor:
    """Images `index` of `images` (N, H, W, C), or all of them, normalized."""
    if index is None:
        index = torch.arange(len(images))
    out = torch.empty((len(index), *images.shape[1:]))
    scale, shift = normalize.scale.numpy(), normalize.shift.numpy()
    _take_and_normalize(images.flatten(2).numpy(), index.numpy(), scale, shift, out.flatten(2).numpy())
    return out


def changing(operation: Pixels | Normalized) -> Callable[..., Tensor]:
    """What does an operation's `apply`."""
    if isinstance(operation, ColorJitter):
        return partial(_jitter, operation)
    return _cutout if isinstance(operation, Cutout) else operation.apply


def mixing(operation: Mixing) -> Callable[..., tuple[Tensor, Tensor]]:
    """What does an operation's `mix`, in place: the partners may be the inputs from the second on, and one more."""
    return {Mixup: _mixup, Cutmix: _cutmix}.get(type(operation), operation.mix)


def _jitter(operation: ColorJitter, images: Tensor, order: Tensor, factors: Tensor) -> Tensor:
    pixels = images.flatten(1, 2)
    if pixels.shape[1] > _EXACT:
        return operation.apply(images, order, factors)
    codes = np.array([_CODES[each] for each in operation.operations], np.int64)
    fused_colour.jitter(pixels.numpy(), order.numpy(), factors.numpy(), codes)
    return pixels.view(images.shape)


def _cutout(inputs: Tensor, top: Tensor, left: Tensor, side: Tensor) -> Tensor:
    _cut(inputs.flatten(2).numpy(), top.numpy(), left.numpy(), side.numpy())
    return inputs


def _mixup(inputs: Tensor, partners: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    _blend(inputs.flatten(1).numpy(), partners.flatten(1).numpy(), weight.numpy())
    return inputs, weight


def _cutmix(inputs: Tensor, partners: Tensor, *table: Tensor) -> tuple[Tensor, Tensor]:
    *edges, weight = table
    _paste(inputs.flatten(2).numpy(), partners.flatten(2).numpy(), *(edge.numpy() for edge in edges))
    return inputs, weight
