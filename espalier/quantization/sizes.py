"""What a pruned and quantized network would weigh by the usual reckoning, before anything is coded."""

from typing import Any

from torch import nn

from espalier.metrics import cost
from espalier.metrics.cost import weighted
from espalier.metrics.layer_inputs import input_elements
from espalier.quantization.qparams import FULL, QParams
from espalier.quantization.quantized import Quantization

INDEX_BITS = 16
_MIB = 2**20


def theoretical_mib(nonzeros: int, others: int, weight_bits: int) -> float:
    """MiB of non-zero weights with a 16-bit index each and of all other parameters in fp32.

    Scales, shapes and the statistics of batch normalization are left out: a file is larger.
    """
    return _mib(nonzeros * (weight_bits + INDEX_BITS) + 32 * others)


class Sizes:
    """The sizes of one network at any setting of widths; its weights are in floats when this is made."""

    def __init__(self, model: nn.Module, image_size: int, channels: int = 3) -> None:
        layers = weighted(model)
        self._nonzeros = {path: int(layer.weight.count_nonzero()) for path, layer in layers.items()}
        self._others = cost.params(model) - sum(layer.weight.numel() for layer in layers.values())
        self._inputs = input_elements(model, image_size, channels)

    def row(self, quantization: Quantization) -> dict[str, Any]:
        """`theoretical_mib` of the weights that are not zero before they are rounded, and `activation_mib` of what
        the layers read of one image."""
        weights = {path: each.qparams for path, each in quantization.weights.items()}
        inputs = {path: width(each) for path, each in quantization.activations.items()} | quantization.dynamic
        bits = sum(
            count * ((width(weights[path]) if path in weights else FULL) + INDEX_BITS)
            for path, count in self._nonzeros.items()
        )
        read = sum(count * inputs.get(path, FULL) for path, count in self._inputs.items())
        return {"theoretical_mib": _mib(bits + 32 * self._others), "activation_mib": _mib(read)}


def width(qparams: QParams) -> int:
    """Bits that a level takes: 8 for -127 to 127 as for 0 to 255."""
    return (qparams.highest - qparams.lowest).bit_length()


def _mib(bits: int) -> float:
    return bits / 8 / _MIB
