"""The quantization of a network as data: its weights as levels, and the qparams of its layers' inputs."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from espalier.metrics.cost import weighted
from espalier.quantization.inputs import Inputs
from espalier.quantization.qparams import QParams, Quantized, moved


class Quantization(NamedTuple):
    """A setting of widths as it is in one network."""

    weights: dict[str, Quantized]
    """path of a layer → its weight as levels"""
    activations: dict[str, QParams]
    """path of a layer → fixed qparams of its input"""
    dynamic: dict[str, int]
    """path of a layer → width of its input, whose qparams are chosen over each batch"""


@torch.no_grad()
def install(model: nn.Module, quantization: Quantization) -> Inputs:
    """Put the weights of a network on their levels and hooks on the inputs of its layers, in place.

    Raises:
        KeyError: it has no such layer.
        ValueError: levels are of another shape than the layer's weight.
    """
    layers = weighted(model)
    for path, quantized in quantization.weights.items():
        weight = layers[path].weight
        if quantized.levels.shape != weight.shape:
            shapes = tuple(quantized.levels.shape), tuple(weight.shape)
            raise ValueError(f"{path}: levels of shape {shapes[0]} for a weight of shape {shapes[1]}")
        # Exchanged, not written into: copies of the network may share the tensor.
        weight.data = torch.empty_like(weight).copy_(quantized.dequantize())
    inputs = Inputs(model)
    if missing := (quantization.activations.keys() | quantization.dynamic.keys()) - layers.keys():
        raise KeyError(min(missing))
    if quantization.dynamic:
        inputs.dynamic(quantization.dynamic)
    else:
        inputs.static(quantization.activations)
    return inputs


def to(quantization: Quantization, device: torch.device | str) -> Quantization:
    """The same on another device."""
    return Quantization(
        {
            path: Quantized(each.levels.to(device), moved(each.qparams, device))
            for path, each in quantization.weights.items()
        },
        {path: moved(each, device) for path, each in quantization.activations.items()},
        quantization.dynamic,
    )


def packed(quantization: Quantization) -> dict[str, Any]:
    """Plain data and tensors, as `training.checkpoint.write` takes them; `unpacked` reads them back."""
    return {
        "weights": {path: pack(each) for path, each in quantization.weights.items()},
        "activations": {path: list(each) for path, each in quantization.activations.items()},
        "dynamic": dict(quantization.dynamic),
    }


def unpacked(tree: Mapping[str, Any]) -> Quantization:
    """What `packed` made plain."""
    return Quantization(
        {path: unpack(each) for path, each in tree["weights"].items()},
        {path: QParams(*each) for path, each in tree["activations"].items()},
        dict(tree["dynamic"]),
    )


def pack(quantized: Quantized) -> list[Any]:
    """Levels in the narrowest integers that hold them, and their qparams."""
    lowest, highest = quantized.qparams[2:]
    dtype = next(
        each for each in (torch.int8, torch.int16, torch.int32) if torch.iinfo(each).max >= max(highest, -lowest)
    )
    return [quantized.levels.to(dtype), *quantized.qparams]


def unpack(parts: list[Any]) -> Quantized:
    """What `pack` made."""
    levels, *qparams = parts
    return Quantized(levels.int(), QParams(*qparams))
