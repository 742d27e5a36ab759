"""Fixed qparams of the inputs of all layers as two tensors, where two a layer would cost names and shapes."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from espalier.coding.network_record import SCALE, ZERO_POINT
from espalier.quantization.qparams import QParams

Ends = list[tuple[int, int] | None]
"""For each layer the lowest and highest level of its input, or None; empty where no layer has any."""


def merge(activations: Mapping[str, QParams], paths: Sequence[str]) -> tuple[dict[str, Tensor], Ends]:
    """The qparams of layers as float32 scales (n,) and the narrowest integers for zero points (n,), and the ends.

    Args:
        paths: all layers, in the order of the network
    """
    if not activations:
        return {}, []
    found = [activations[path] for path in paths if path in activations]
    scales = torch.stack([each.scale.detach().cpu().reshape(()) for each in found])
    zero_points = torch.stack([each.zero_point.detach().cpu().reshape(()) for each in found])
    ends = [activations[path][2:] if path in activations else None for path in paths]
    return {SCALE: scales, ZERO_POINT: zero_points.to(_narrowest(zero_points))}, ends


def split(scales: Tensor | None, zero_points: Tensor | None, ends: Ends, paths: Sequence[str]) -> dict[str, QParams]:
    """What `merge` joined.

    Raises:
        ValueError: tensors, ends and layers do not go together.
    """
    if not ends:
        if scales is not None or zero_points is not None:
            raise ValueError("it has qparams of inputs and no levels for them")
        return {}
    if scales is None or zero_points is None or scales.dtype != torch.float32 or zero_points.is_floating_point():
        raise ValueError("it lacks qparams of inputs")
    own = [(path, end) for path, end in zip(paths, ends, strict=True) if end is not None]
    return {
        path: QParams(scale, zero_point, *end)
        for (path, end), scale, zero_point in zip(own, scales.unbind(), zero_points.int().unbind(), strict=True)
    }


def _narrowest(values: Tensor) -> torch.dtype:
    low, high = (int(end) for end in torch.aminmax(values))
    kinds = (torch.uint8, torch.int8, torch.int16, torch.int32)
    return next(each for each in kinds if torch.iinfo(each).min <= low <= high <= torch.iinfo(each).max)
