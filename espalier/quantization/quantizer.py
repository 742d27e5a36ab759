"""A network put to one width of weights and activations after another."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from espalier.models.facts import facts_of
from espalier.quantization.batchnorm import Moments, reestimate, restore, seen, shift, statistics
from espalier.quantization.compensation import compensated
from espalier.quantization.folding import foldable
from espalier.quantization.hessian import hessians
from espalier.quantization.histogram import Histogram
from espalier.quantization.inputs import Inputs
from espalier.quantization.qparams import FULL, QParams, Quantized
from espalier.quantization.quantized import Quantization
from espalier.quantization.ranges import activation_qparams
from espalier.quantization.rate_distortion import rate_distortion
from espalier.quantization.schemes import Scheme
from espalier.quantization.sensitivity import sensitivities
from espalier.quantization.weights import nearest

IMAGES = {"nearest": 128, "compensated": 128, "rate_distortion": 512}
"""How many of the images are looked at layer by layer, by the way to round; the statistics use all."""


class _Weights(NamedTuple):
    """A network with weights of one width and activations in floats."""

    price: float | None
    quantized: dict[str, Quantized]
    values: dict[str, Tensor]
    statistics: list[Moments]


class Quantizer:
    """Sets a network, in place, to widths of weights and activations; what settings share is made once.

    What a setting gives does not depend on those set before. The weights are exchanged, not written into, and
    `close` puts the network back as it was; a network to keep is copied, or left at its setting.

    Args:
        batches: images of the training split, normalized, on the network's device; the naive scheme needs none

    Raises:
        ValueError: the scheme needs images, and there are none.
    """

    def __init__(self, model: nn.Module, scheme: Scheme, batches: Sequence[Tensor] = ()) -> None:
        if not batches and scheme.calibrates:
            raise ValueError("this scheme is calibrated on training images, and there are none")
        self.model, self.scheme, self.batches = model.eval(), scheme, batches
        self.inputs = Inputs(model)
        self._few = batches[: -(-IMAGES[scheme.rounding] // len(batches[0]))] if batches else ()
        self._floats = {path: layer.weight.data for path, layer in self.inputs.layers.items()}
        self._before = statistics(self.model)
        self._whole = _Weights(None, {}, self._floats, self._before)
        self._reference = seen(model, batches) if scheme.statistics == "shifted" else []
        self._moments: dict[str, Tensor] | None = None
        self._sensitivities: dict[str, Tensor] | None = None
        self._weights: dict[int, _Weights] = {}
        self._seen: dict[int, dict[str, Histogram]] = {}
        self.weights: dict[str, Quantized] = {}
        """path of each layer → its weight as levels, at the present setting"""
        self.activations: dict[str, QParams] = {}
        """path of each layer → static qparams of its input, at the present setting"""
        self.dynamic: dict[str, int] = {}
        """path of each layer → width of its input, where each batch has qparams of its own, at the present setting"""

    @torch.no_grad()
    def set(self, weight_bits: int, activation_bits: int, price: float | None = None) -> None:
        """Put the network to a setting; 32 bits leave weights or activations as they are.

        Args:
            price: in place of the scheme's, where its rounding has one

        Raises:
            ValueError: the scheme cannot do a width.
        """
        made = self._made(weight_bits, self.scheme.price if price is None else price)
        self._install(made)
        self.weights, self.activations, self.dynamic = made.quantized, {}, {}
        if activation_bits == FULL:
            return
        bits = self._bits(activation_bits)
        if self.scheme.activations == "dynamic":
            self.dynamic = {path: each for path, each in bits.items() if each != FULL}
            self.inputs.dynamic(self.dynamic)
        else:
            if weight_bits not in self._seen:
                self._seen[weight_bits] = self.inputs.histograms(self.model, self._few)
            self.activations = {
                path: activation_qparams(
                    histogram,
                    self.scheme.activation_range,
                    bits[path],
                    symmetric=self.scheme.symmetric_activations,
                    percentile=self.scheme.percentile,
                )
                for path, histogram in self._seen[weight_bits].items()
                if bits[path] != FULL
            }
            self.inputs.static(self.activations)
        self._correct()

    def quantization(self) -> Quantization:
        """What the present setting makes of weights and activations."""
        return Quantization(dict(self.weights), dict(self.activations), dict(self.dynamic))

    def close(self) -> None:
        """Put the network back as it was."""
        self.inputs.remove()
        self._install(self._whole)

    def _bits(self, bits: int) -> dict[str, int]:
        asked = {"first": self.scheme.first_bits, "classifier": self.scheme.classifier_bits}
        exceptions = {getattr(facts_of(self.model), part): least for part, least in asked.items() if least}
        return {path: max(exceptions.get(path) or bits, bits) for path in self.inputs.layers}

    def _made(self, bits: int, price: float | None) -> _Weights:
        if bits in self._weights and self._weights[bits].price == price:
            return self._weights[bits]
        self._seen.pop(bits, None)
        self._install(self._whole)
        made = self._whole._replace(price=price)
        if bits != FULL:
            widths = {path: each for path, each in self._bits(bits).items() if each != FULL}
            quantized = {path: self._quantized(path, each, price) for path, each in widths.items()}
            values = {
                path: torch.empty_like(self._floats[path]).copy_(each.dequantize()) for path, each in quantized.items()
            }
            made = _Weights(price, quantized, self._floats | values, self._before)
            self._install(made)
            self._correct()
            made = made._replace(statistics=statistics(self.model))
        self._weights[bits] = made
        return made

    def _quantized(self, path: str, bits: int, price: float | None) -> Quantized:
        weight, scheme = self._floats[path], self.scheme
        found = nearest(weight, bits, scheme.granularity, scheme.weight_range, symmetric=scheme.symmetric_weights)
        if scheme.rounding == "nearest":
            return found
        if self._moments is None:
            normalized = foldable(self.model, self.batches[0][:1]) if scheme.statistics != "kept" else {}
            self._moments = hessians(self.model, self.inputs, self._few, normalized)
        if path not in self._moments:
            return found
        if scheme.rounding == "compensated":
            return compensated(weight, self._moments[path], found.qparams)
        if self._sensitivities is None:
            self._sensitivities = sensitivities(self.model, self._few)
        given = self._moments[path], self._sensitivities[path], price, found.qparams.highest, scheme.granularity
        return rate_distortion(weight, *given)

    def _correct(self) -> None:
        """Fit the statistics of batch normalization to the present weights and activations."""
        if self.scheme.statistics == "estimated":
            reestimate(self.model, self.batches)
        elif self.scheme.statistics == "shifted":
            shift(self.model, self.batches, self._reference, self._before)

    def _install(self, weights: _Weights) -> None:
        self.inputs.off()
        for path, layer in self.inputs.layers.items():
            layer.weight.data = weights.values[path]
        restore(self.model, weights.statistics)
