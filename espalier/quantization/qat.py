"""Networks whose training sees the levels, so that it makes up for them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from espalier.metrics.cost import weighted
from espalier.quantization.batchnorm import restore, statistics
from espalier.quantization.qparams import FULL, QParams, Quantized, quantize
from espalier.quantization.quantizer import Quantizer
from espalier.quantization.schemes import Scheme

_REACH = 0.45
"""Steps from a level at which a weight begins that was nearer to another."""


class Converted(NamedTuple):
    """What training with learned steps has found."""

    weights: dict[str, Quantized]
    activations: dict[str, QParams]


def prepare_qat(
    model: nn.Module,
    weight_bits: int,
    activation_bits: int,
    scheme: Scheme,
    batches: Sequence[Tensor],
    price: float | None = None,
) -> nn.Module:
    """Give every convolution and linear layer a learned step for its weight and one for its input, in place.

    Steps begin where the scheme puts them, and so do levels: a weight that compensated rounding put on another level
    than the nearest begins within that level's reach. Weights that are zero stay zero, so no mask need be enforced.
    Rate-distortion rounding has chosen zeros and steps of weights by a price, and both stay. The network trains as any
    other: its new parameters are the steps. Its weights in a state dict are those before rounding.

    Args:
        price: of a bit, in place of the scheme's

    Raises:
        ValueError: the scheme's activations are dynamic, and have no step to learn.
    """
    if activation_bits != FULL and scheme.activations == "dynamic":
        raise ValueError("activations quantized over each batch have no step to learn; use a static scheme")
    quantizer = Quantizer(model, scheme, batches)
    elements: dict[str, int] = {}
    quantizer.inputs.observe(
        model, batches[:1], lambda path, x: elements.setdefault(path, x.numel() // len(batches[0]))
    )
    quantizer.set(weight_bits, activation_bits, price)
    fitting = statistics(model)
    quantizer.close()
    restore(model, fitting)
    for path, layer in weighted(model).items():
        if path in quantizer.activations:
            layer.step = LearnedStep(quantizer.activations[path], elements[path])
            layer.register_forward_pre_hook(_through_step)
        if path in quantizer.weights:
            weight, quantized = layer.weight.detach(), quantizer.weights[path]
            qparams, share = quantized.qparams, weight.numel() // quantized.qparams.scale.numel()
            bought = scheme.rounding == "rate_distortion"
            kept = quantized.levels != 0 if bought else weight != 0
            weight.copy_(_within_reach(weight, quantized))
            step = LearnedStep(qparams, share, kept)
            # Steps chosen by a price stay fixed: if learned, they would become finer, and levels cost more bits.
            step.scale.requires_grad_(not bought)
            parametrize.register_parametrization(layer, "weight", step)
    return model


@torch.no_grad()
def convert(model: nn.Module) -> Converted:
    """Turn a network of `prepare_qat` back into a plain one, in place, with weights on their levels.

    Its activations are in floats until `Inputs.static` is given the qparams that this returns.
    """
    weights, activations = {}, {}
    for path, layer in weighted(model).items():
        if parametrize.is_parametrized(layer, "weight"):
            qparams = layer.parametrizations.weight[0].qparams()
            levels = quantize(layer.weight, qparams)
            parametrize.remove_parametrizations(layer, "weight")
            weights[path] = Quantized(levels, qparams)
            layer.weight.copy_(weights[path].dequantize())
        if hasattr(layer, "step"):
            activations[path] = layer.step.qparams()
            del layer.step
            _remove(layer)
    return Converted(weights, activations)


def _within_reach(weight: Tensor, quantized: Quantized) -> Tensor:
    """Each weight as it is where its level is the nearest, else the number next to it that rounds to its level."""
    levels, qparams = quantized
    steps = (levels - qparams.zero_point).float()
    moved = torch.clamp(weight, (steps - _REACH) * qparams.scale, (steps + _REACH) * qparams.scale)
    return torch.where(quantize(weight, qparams) == levels, weight, moved)


def _through_step(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # The layer's own step, not one bound here: a copy of the network has its own.
    return (layer.step(inputs[0]), *inputs[1:])


def _remove(layer: nn.Module) -> None:
    for number, hook in list(layer._forward_pre_hooks.items()):
        if hook is _through_step:
            del layer._forward_pre_hooks[number]


class LearnedStep(nn.Module):
    """Fake quantization whose scale is a parameter; gradients pass straight through the rounding.

    A weight's zeros stay +0.0 and get no gradient, where `kept` says which weights are not zero.

    Args:
        qparams: where the scale begins; zero point and levels stay
        share: elements that share a step, by which its gradient is damped: of a weight's row, or of an image's input
        kept: boolean, of the weight's shape
    """

    def __init__(self, qparams: QParams, share: int, kept: Tensor | None = None) -> None:
        super().__init__()
        self.scale = nn.Parameter(qparams.scale.clone())
        self.register_buffer("zero_point", qparams.zero_point.clone())
        self.register_buffer("kept", kept)
        self.lowest, self.highest = qparams.lowest, qparams.highest
        self.damping = (share * self.highest) ** -0.5

    def forward(self, x: Tensor) -> Tensor:
        scale = _damped(self._positive(), self.damping)
        ends = self.lowest - self.zero_point, self.highest - self.zero_point
        steps = torch.minimum(torch.maximum(x / scale, ends[0]), ends[1])
        quantized = (steps + (steps.round() - steps).detach()) * scale
        return quantized if self.kept is None else quantized.masked_fill(~self.kept, 0.0)

    def qparams(self) -> QParams:
        """The qparams of the present step."""
        return QParams(self._positive().detach().clone(), self.zero_point.clone(), self.lowest, self.highest)

    def _positive(self) -> Tensor:
        return self.scale.abs().clamp(min=torch.finfo(torch.float32).tiny)


def _damped(scale: Tensor, damping: float) -> Tensor:
    """The same number with a smaller gradient."""
    return (scale - scale * damping).detach() + scale * damping
