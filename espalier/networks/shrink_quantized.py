"""A network without the channels that nothing needs, its levels among what is left."""

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from espalier.metrics.cost import weighted
from espalier.networks.network import Network
from espalier.pruning.shapes import shapes
from espalier.pruning.zero_channels import shrink
from espalier.quantization.quantized import Quantization, install

if TYPE_CHECKING:
    from torch import Tensor, nn

    from espalier.quantization.qparams import Quantized


@torch.no_grad()
def shrink_quantized(network: Network) -> Network:
    """A network that answers alike, to rounding, without the channels that `zero_channels.shrink` finds.

    Where weights became 0 when they were rounded, such channels are there though pruning has left none.
    """
    model, numbered = network.plain(), _numbered(network.plain())
    removed = shrink(model, network.image_size, network.channels, alongside=[numbered])
    if not removed.channels:
        return network
    found = network.quantization
    if found:
        left = {path: layer.weight for path, layer in weighted(numbered).items()}
        found = found._replace(weights={path: _take_places(each, left[path]) for path, each in found.weights.items()})
    install(model, found or Quantization({}, {}, {}))
    return replace(network, model=model, shapes=shapes(model), quantization=found)


def _numbered(model: "nn.Module") -> "nn.Module":
    """The network, in float64, with each weight's place in its matrix of rows and channels for a value."""
    model = copy.deepcopy(model).double()
    for layer in weighted(model).values():
        rows, channels, *taps = layer.weight.shape
        places = torch.arange(rows * channels, dtype=torch.float64).view(rows, channels, *[1] * len(taps))
        layer.weight.copy_(places.expand_as(layer.weight))
    return model


def _take_places(quantized: "Quantized", places: "Tensor") -> "Quantized":
    """The rows and channels of a weight whose numbers are left."""
    levels, qparams = quantized
    places = places.flatten(2)[:, :, 0] if places.dim() > 2 else places
    rows, channels = (places[:, 0] // levels.shape[1]).long(), (places[0] % levels.shape[1]).long()

    def rows_of(one: "Tensor") -> "Tensor":
        return one[rows] if one.dim() and len(one) > 1 else one

    scale, zero_point = rows_of(qparams.scale), rows_of(qparams.zero_point)
    return quantized._replace(
        levels=levels[rows][:, channels], qparams=qparams._replace(scale=scale, zero_point=zero_point)
    )
