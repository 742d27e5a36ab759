"""A network of 8-bit weights and activations as an ONNX graph, calibrated anew on one of floats."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    calibrate,
    quantize_static,
)
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor

from espalier.errors import Mistake
from espalier.export.graph_inputs import NORMALIZED
from espalier.export.onnx_files import quiet
from espalier.export.sessions import options
from espalier.settings.sections import Export

_METHODS = {
    "minmax": (CalibrationMethod.MinMax, calibrate.MinMaxCalibrater),
    "entropy": (CalibrationMethod.Entropy, calibrate.EntropyCalibrater),
    "percentile": (CalibrationMethod.Percentile, calibrate.PercentileCalibrater),
}
_OPERATORS = sorted({*QLinearOpsRegistry, *QDQRegistry})
"""All that can be quantized, in a fixed order: the default is a set, whose order differs from process to process."""


class _One(CalibrationDataReader):
    """One batch in the way that ONNX Runtime asks for batches."""

    def __init__(self, batch: Tensor) -> None:
        self._left = [{NORMALIZED: batch.contiguous().numpy()}]

    def get_next(self) -> dict | None:
        return self._left.pop() if self._left else None


def quantize(fp32: onnx.ModelProto, batches: Iterable[Tensor], settings: Export, name: str) -> onnx.ModelProto:
    """The graph with quantize-dequantize pairs (QDQ): int8 weights per channel, uint8 activations per tensor.

    Activations are unsigned, as ONNX Runtime recommends for x86, whose 8-bit products take one factor of each kind.

    Args:
        fp32: the graph of floats
        batches: images of the train split, float32 (b, C, H, W), over which the ranges of activations are taken
        name: what the network is called in an error

    Raises:
        Mistake: the network has no such form; the message says why.
    """
    with tempfile.TemporaryDirectory(prefix="espalier-") as scratch, quiet():
        names = ("float.onnx", "prepared.onnx", "int8.onnx", "ranges.json")
        floats, prepared, quantized, ranges = (Path(scratch) / each for each in names)
        onnx.save(fp32, floats)
        method, calibrater = _METHODS[settings.calibration]
        try:
            # ONNX's own inference of shapes suffices; the symbolic one does not know ReduceMax.
            quant_pre_process(floats, prepared, skip_symbolic_shape=True)
            _calibrate(calibrater(prepared, _OPERATORS, str(Path(scratch) / "observed.onnx")), batches, ranges)
            quantize_static(
                prepared,
                quantized,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_OPERATORS,
                per_channel=True,
                reduce_range=settings.reduce_range,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=method,
                calibration_cache_path=ranges,
            )
            proto = onnx.load(quantized)
        except Exception as error:  # The quantizer raises whatever its parts do.
            (first, *_) = str(error).strip().splitlines() or [""]
            raise Mistake(
                f"{name} cannot be exported with 8 bits: {type(error).__name__}: {first}. Set export.int8 to false"
            ) from error
    # What shape inference noted of every tensor between, which readers infer again.
    del proto.graph.value_info[:]
    return proto


def _calibrate(calibrater: calibrate.CalibraterBase, batches: Iterable[Tensor], ranges: Path) -> None:
    """Write the ranges of all activations over the batches.

    The session is made here: the calibrater's own takes all cores of the machine, whatever this process was given.
    """
    calibrater.augment_graph()
    unchanged = options()
    unchanged.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    calibrater.infer_session = onnxruntime.InferenceSession(
        calibrater.augmented_model_path, unchanged, providers=["CPUExecutionProvider"]
    )
    # A batch at a time: all activations of all images would not fit in memory.
    for batch in batches:
        calibrater.collect_data(_One(batch))
    calibrate.save_tensors_data(calibrater.compute_data(), ranges)
