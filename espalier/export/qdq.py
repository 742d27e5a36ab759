"""A network of the levels that its own chain has chosen, as an ONNX graph of quantize-dequantize pairs (QDQ)."""

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from espalier.export.onnx_files import QUANTIZED_OPSET, converted
from espalier.export.quantized_layers import NARROW, put_in
from espalier.quantization.quantized import Quantization

_TYPES = {"int4": TensorProto.INT4, "uint4": TensorProto.UINT4}


def quantized(
    model: nn.Module, quantization: Quantization, name: str, image_size: int, channels: int
) -> onnx.ModelProto:
    """The graph of a quantized network, from normalized images, float32 (batch, C, H, W), to logits.

    Weights are int4, int8 or int16 and have a scale an output channel, into which normalizations are folded. Inputs of
    layers are quantized by the chain's own scales to uint8 or int8 (uint16, int16 from 9 bits on), and clipped before
    where their width has fewer levels.

    Args:
        model: in evaluation mode, its weights on their levels, with no quantizer installed; it is changed
        name: what the network is called in an error

    Raises:
        Mistake: the network has no ONNX form.
    """
    image = torch.zeros(1, channels, image_size, image_size)
    model = put_in(model, quantization, image, "onnx")
    proto = converted(model, name, image_size, channels, QUANTIZED_OPSET)
    for tensor in proto.graph.initializer:
        for narrow in NARROW:
            if tensor.name.endswith(f"levels_{narrow}"):
                levels = numpy_helper.to_array(tensor)
                tensor.CopyFrom(helper.make_tensor(tensor.name, _TYPES[narrow], levels.shape, levels.flatten()))
    return proto
