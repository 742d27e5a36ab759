"""A quantized network as it leaves: weights as levels in narrow integers, and quantizers in front of its layers."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from espalier.export.onnx_files import QUANTIZED_OPSET
from espalier.quantization.folding import fold, foldable, folded_levels
from espalier.quantization.qparams import QParams, Quantized, choose_qparams, dequantize, quantize
from espalier.quantization.quantized import Quantization

Form = Literal["onnx", "torch"]

NARROW = {"int4": (-8, 7), "uint4": (0, 15)}
"""Integers that torch has no tensors of; their levels are held in the next wider ones, under a name that tells."""
_TENSORS = {
    torch.int8: (-128, 127),
    torch.uint8: (0, 255),
    torch.int16: (-(1 << 15), (1 << 15) - 1),
    torch.uint16: (0, (1 << 16) - 1),
}


@torch.no_grad()
def put_in(model: nn.Module, quantization: Quantization, image: Tensor, form: Form) -> nn.Module:
    """Replace the quantized layers of a network by `QuantizedLayer`s, in place, and fold normalizations into them.

    Args:
        model: in evaluation mode, its weights on their levels, with no quantizer installed
        image: normalized, float32 (1, C, H, W); one forward pass with it finds what can be folded
        form: `onnx` computes by ONNX's operators (QuantizeLinear, DequantizeLinear), `torch` by torch's own
    """
    pairs = foldable(model, image)
    weights = folded_levels(model, quantization.weights, pairs)
    fold(model, pairs)
    inputs, dynamic = quantization.activations, quantization.dynamic
    for path in sorted(weights.keys() | inputs.keys() | dynamic.keys()):
        layer = model.get_submodule(path)
        made = QuantizedLayer(layer, weights.get(path), inputs.get(path), dynamic.get(path), form)
        model.set_submodule(path, made)
    return model


class QuantizedLayer(nn.Module):
    """A convolution or linear layer that quantizes its input and stores its weight as levels.

    Args:
        layer: the float layer; its bias and settings are used
        weight: its weight as levels; None keeps the float weight
        activation: fixed qparams of its input; None leaves the input in floats, unless `dynamic` is given
        dynamic: bit width of its input, with qparams chosen for every batch
        form: `onnx` for ONNX's operators, `torch` for torch's own
    """

    def __init__(
        self, layer: nn.Module, weight: Quantized | None, activation: QParams | None, dynamic: int | None, form: Form
    ) -> None:
        super().__init__()
        self.layer, self._onnx, self._dynamic = layer, form == "onnx", dynamic
        self._held = self._activation = None
        if weight is not None:
            self._hold(_positive(weight))
            # Nothing reads it any more.
            layer.weight = nn.Parameter(torch.empty(0), requires_grad=False)
        if activation is not None:
            self._activation = activation[2:]
            self.register_buffer("input_scale", activation.scale.reshape(()).clone())
            self.register_buffer("input_zero_point", activation.zero_point.reshape(()).clone())
            for name, end in zip(("least", "most"), activation[2:], strict=True):
                self.register_buffer(name, ((end - activation.zero_point) * activation.scale).reshape(()).float())

    def forward(self, x: Tensor) -> Tensor:
        return functional_call(self.layer, {"weight": self.weight}, (self._through(x),))

    def __getattr__(self, name: str) -> Any:
        """Attention asks its layers for their sizes."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)

    @property
    def weight(self) -> Tensor:
        """The weight, float32; attention reads those of its layers without calling them."""
        if self._held is None:
            return self.layer.weight
        levels, zero_point = getattr(self, self._held), getattr(self, f"zero_point_{self._held}", None)
        if self._onnx:
            inputs = [levels, self.scale.flatten() if self.scale.numel() > 1 else self.scale.reshape(())]
            inputs += [] if zero_point is None else [zero_point]
            return _operator("DequantizeLinear", inputs, torch.float32, levels.shape, axis=0)
        shape = self.scale.shape
        own = torch.zeros(shape, dtype=torch.int32) if zero_point is None else zero_point.int().reshape(shape)
        return dequantize(levels.int(), QParams(self.scale, own, 0, 0))

    def _hold(self, weight: Quantized) -> None:
        levels, (scale, zero_point, lowest, highest) = weight
        narrow = next((name for name, ends in NARROW.items() if ends[0] <= lowest and highest <= ends[1]), None)
        dtype = _holding(lowest, highest)
        self._held = f"levels_{narrow or str(dtype).removeprefix('torch.')}"
        self.register_buffer(self._held, levels.to(dtype))
        self.register_buffer("scale", scale.clone())
        if zero_point.any():
            zeros = zero_point.flatten() if zero_point.numel() > 1 else zero_point.reshape(())
            self.register_buffer(f"zero_point_{self._held}", zeros.to(dtype))

    def _through(self, x: Tensor) -> Tensor:
        if self._dynamic:
            dims = tuple(range(x.ndim))
            qparams = choose_qparams(x.amin(dims), x.amax(dims), self._dynamic, symmetric=True)
            if not self._onnx:
                return dequantize(quantize(x, qparams), qparams)
            scale, zero_point, lowest, highest = qparams
            return _quantized(x, scale, zero_point.to(_holding(lowest, highest)))
        if self._activation is None:
            return x
        if not self._onnx:
            qparams = QParams(self.input_scale, self.input_zero_point, *self._activation)
            return dequantize(quantize(x, qparams), qparams)
        dtype = _holding(*self._activation)
        # Where the type has more levels. No Clip: ONNX Runtime 1.31 drops it between a convolution and a quantizer.
        lowest, highest = (own == end for own, end in zip(_TENSORS[dtype], self._activation, strict=True))
        x = x if lowest else torch.maximum(x, self.least)
        x = x if highest else torch.minimum(x, self.most)
        return _quantized(x, self.input_scale, self.input_zero_point.to(dtype))


def _quantized(x: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    levels = _operator("QuantizeLinear", [x, scale, zero_point], zero_point.dtype, x.shape)
    return _operator("DequantizeLinear", [levels, scale, zero_point], torch.float32, x.shape)


def _operator(name: str, inputs: list[Tensor], dtype: torch.dtype, shape: torch.Size, **attributes: int) -> Tensor:
    return torch.onnx.ops.symbolic(name, inputs, attributes, dtype=dtype, shape=shape, version=QUANTIZED_OPSET)


def _holding(lowest: int, highest: int) -> torch.dtype:
    """The narrowest type of tensors that holds levels; unsigned where none is negative."""
    signed = lowest < 0
    return next(
        dtype
        for dtype, ends in _TENSORS.items()
        if ends[0] <= lowest and highest <= ends[1] and (ends[0] < 0) == signed
    )


def _positive(weight: Quantized) -> Quantized:
    """The same numbers with scales above zero, as runtimes expect: a folded normalization may turn a filter's sign."""
    levels, (scale, zero_point, lowest, highest) = weight
    turned = scale < 0
    levels = torch.where(turned, lowest + highest - levels, levels)
    zero_point = torch.where(turned, lowest + highest - zero_point, zero_point)
    scale = torch.where(scale == 0, 1.0, scale.abs())
    return Quantized(levels, QParams(scale, zero_point, lowest, highest))
