"""A network as an ONNX graph, for any number of images."""

import copy
import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d
from torch.nn.modules.utils import _pair

from espalier.data.feed import Feed
from espalier.errors import Mistake
from espalier.export.graph_inputs import LOGITS, NORMALIZED, put_before

OPSET = 18
"""The operators that torch's exporter writes as they are; later sets are conversions of this one."""
QUANTIZED_OPSET = 21
"""The first whose levels may have 4 or 16 bits."""

_OPERATOR = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)'")


def converted(model: nn.Module, name: str, image_size: int, channels: int = 3, opset: int = OPSET) -> onnx.ModelProto:
    """The graph of a network in evaluation mode, from normalized images, float32 (batch, C, H, W), to logits.

    The same network gives the same bytes, which tell nothing of this machine.

    Args:
        name: what the network is called in an error

    Raises:
        Mistake: the network has no ONNX form; the message names what stands in the way.
    """
    model = without_adaptive_maxima(copy.deepcopy(model).cpu().eval())
    # One image alone would be taken for a constant.
    images = torch.zeros(2, channels, image_size, image_size)
    try:
        with quiet():
            # By way of torch.export: TorchScript's exporter is faster (0.1 to 2 s a network, not 1 to 20), but it is
            # deprecated, and knows no channel shuffle.
            program = torch.onnx.export(
                model,
                (images,),
                dynamo=True,
                opset_version=opset,
                input_names=[NORMALIZED],
                output_names=[LOGITS],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise _impossible(name, _reason(error)) from error
    proto = program.model_proto
    if not all(value.type.tensor_type.shape.dim[0].dim_param for value in (*proto.graph.input, *proto.graph.output)):
        raise _impossible(name, "it computes logits for one number of images only, not for any")
    _strip(proto)
    return proto


def save(path: Path, proto: onnx.ModelProto, feed: Feed, takes: str) -> None:
    """Write a graph as an ONNX file, with the input that `takes` names put before it and metadata that describe it.

    Args:
        proto: a graph that takes normalized images
    """
    proto = copy.deepcopy(proto)
    put_before(proto, feed, takes)
    Path(path).write_bytes(proto.SerializeToString(deterministic=True))


def _impossible(name: str, why: str) -> Mistake:
    return Mistake(f"{name} cannot be exported to ONNX: {why}. Set export to null, or use another network")


def _reason(error: BaseException) -> str:
    """What stands in the way, from the first of the errors that led to this one."""
    if found := _OPERATOR.search(str(error)):
        return f"the operator {found[1]} has no ONNX form"
    while error.__cause__ is not None:
        error = error.__cause__
    (first, *_) = str(error).strip().splitlines() or [type(error).__name__]
    return first.rstrip(".")


def _strip(proto) -> None:
    """Take out where in which files each operator came from: paths of this machine, and most of a small file."""
    proto.ClearField("doc_string")
    del proto.metadata_props[:]
    for graph in (proto.graph, *proto.functions):
        graph.ClearField("doc_string")
        for holder in (graph, *graph.node, *graph.value_info):
            holder.ClearField("doc_string")
            del holder.metadata_props[:]
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        value.ClearField("doc_string")
        del value.metadata_props[:]


class WindowMaxima(nn.Module):
    """What `nn.AdaptiveMaxPool2d` computes, as maxima of windows that are known once the map's size is.

    Window i of n over a side of length s reaches from floor(i s / n) to ceil((i + 1) s / n).
    """

    def __init__(self, size: int | tuple[int | None, int | None]) -> None:
        super().__init__()
        self.size = _pair(size)

    def forward(self, x: Tensor) -> Tensor:
        sides = x.shape[-2:]
        counts = [side if count is None else count for side, count in zip(sides, self.size, strict=True)]
        if all(side % count == 0 for side, count in zip(sides, counts, strict=True)):
            return max_pool2d(x, [side // count for side, count in zip(sides, counts, strict=True)])
        rows, columns = (_windows(side, count) for side, count in zip(sides, counts, strict=True))
        maxima = [torch.stack([x[..., row, column].amax((-2, -1)) for column in columns], -1) for row in rows]
        return torch.stack(maxima, -2)


def _windows(side: int, count: int) -> list[slice]:
    return [slice(i * side // count, -(-(i + 1) * side // count)) for i in range(count)]


def without_adaptive_maxima(model: nn.Module) -> nn.Module:
    """The network itself, adaptive maxima replaced."""
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.AdaptiveMaxPool2d):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, WindowMaxima(module.output_size))
    return model


_LOGGERS = ("torch", "onnxscript", "onnx_ir", "onnxruntime")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what exporters print, log and warn of away from a run's log; what goes wrong they raise as well."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
