"""What an exported graph takes and says of itself: the normalization in front of a network, and a file's metadata."""

import json
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from espalier.data.feed import Feed

LOGITS = "logits"
"""Name of a graph's output, float32 (batch, classes)."""
TAKES = "takes"


class Input(NamedTuple):
    """The input of a graph, (batch, channels, image_size, image_size)."""

    name: str
    dtype: torch.dtype
    words: str


INPUTS = {
    "uint8": Input("images_uint8", torch.uint8, "pixels from 0 to 255; the graph normalizes them"),
    "unit": Input("images_0_to_1", torch.float32, "pixels from 0 to 1; the graph normalizes them"),
    "normalized": Input("images_normalized", torch.float32, "(pixel / 255 - mean) / std, channel by channel"),
}
"""What export.input may be → the graph's input."""
NORMALIZED = INPUTS["normalized"].name


class WithNormalization(nn.Module):
    """A network behind the normalization of its images.

    Args:
        model: takes normalized images, float32 (b, C, H, W)
        takes: what this module takes: a name of `INPUTS`
    """

    def __init__(self, model: nn.Module, feed: Feed, takes: str = "uint8") -> None:
        super().__init__()
        self.model = model
        scale, shift = affine(feed, takes)
        self.register_buffer("scale", scale[:, None, None], persistent=False)
        self.register_buffer("shift", shift[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, float32 (b, classes), of images (b, C, H, W)."""
        # A product and a sum, as in training, so that the bits are the same.
        return self.model(images.float() * self.scale + self.shift)


def affine(feed: Feed, takes: str) -> tuple[Tensor, Tensor]:
    """What an input is multiplied by, and what is added then, float32 (C,)."""
    if takes == "normalized":
        return torch.ones(feed.channels), torch.zeros(feed.channels)
    scale, shift = feed.affine()
    return (scale if takes == "uint8" else scale * 255), shift


def of_pixels(images: Tensor, feed: Feed, takes: str) -> Tensor:
    """The input of a graph, (b, C, H, W), of pixels uint8 (b, C, H, W)."""
    if takes == "uint8":
        return images
    if takes == "unit":
        return images.float() / 255
    scale, shift = feed.affine()
    return images.float() * scale[:, None, None] + shift[:, None, None]


def put_before(proto: onnx.ModelProto, feed: Feed, takes: str) -> None:
    """Have a graph of normalized images take another input, in place, and have it say how it is fed."""
    graph, own = proto.graph, INPUTS[takes]
    (images,) = graph.input
    if takes != "normalized":
        (batch, *sides) = images.type.tensor_type.shape.dim
        shape = [batch.dim_param, *(side.dim_value for side in sides)]
        elem = {torch.uint8: TensorProto.UINT8, torch.float32: TensorProto.FLOAT}[own.dtype]
        numbers = zip(("normalization.scale", "normalization.shift"), affine(feed, takes), strict=True)
        graph.initializer.extend(
            numpy_helper.from_array(each.numpy().reshape(1, -1, 1, 1).astype(np.float32), name)
            for name, each in numbers
        )
        nodes = [
            helper.make_node("Cast", [own.name], ["pixels"], name="normalization.cast", to=TensorProto.FLOAT),
            helper.make_node("Mul", ["pixels", "normalization.scale"], ["scaled"], name="normalization.multiply"),
            helper.make_node("Add", ["scaled", "normalization.shift"], [images.name], name="normalization.add"),
        ]
        for place, node in enumerate(nodes):
            graph.node.insert(place, node)
        graph.input.remove(images)
        graph.input.append(helper.make_tensor_value_info(own.name, elem, shape))
    graph.input[0].doc_string = _words(feed, takes)
    graph.output[0].doc_string = "logits, (batch, classes); their softmax is the probabilities"
    helper.set_model_props(proto, metadata(feed, takes))


def metadata(feed: Feed, takes: str) -> dict[str, str]:
    """What a file says of its input and its answers: key → JSON."""
    facts: dict[str, Any] = feed.said() | {TAKES: takes, "input": _words(feed, takes)}
    return {key: json.dumps(value) for key, value in facts.items()}


def read_metadata(found: dict[str, str]) -> tuple[Feed, str]:
    """The feed and the input that a file's metadata tell.

    Raises:
        ValueError: they do not tell; pydantic's ValidationError is one.
    """
    facts = {key: json.loads(value) for key, value in found.items()}
    facts.pop("input", None)
    takes = facts.pop(TAKES, None)
    if takes not in INPUTS:
        raise ValueError("its metadata do not say what it takes")
    return Feed.model_validate(facts), takes


def _words(feed: Feed, takes: str) -> str:
    own = INPUTS[takes]
    colours = {1: "gray", 3: "RGB"}.get(feed.channels, f"{feed.channels} channels")
    dtype = str(own.dtype).removeprefix("torch.")
    size = feed.image_size
    return f"{own.name}: {dtype} (batch, {feed.channels}, {size}, {size}), {colours}, {own.words}"
