"""The files of an export run, each in place only once it was found to be right."""

from collections.abc import Callable, Iterator
from pathlib import Path

from torch import Tensor, nn

from espalier.data.resident import Resident
from espalier.export import onnx_files
from espalier.export.agreement import Outcome, outcome, refuse_difference
from espalier.export.sessions import FORMS, FP32, INT8, Session
from espalier.files import replacing
from espalier.quantization.calibration import calibration_batches
from espalier.settings.sections import Export

_TOGETHER = 8 * 32**2
"""Pixels of images that calibration looks at at once; all activations of them are in memory."""
_SEED = 0
"""What the images of the calibration are drawn by."""


def write(
    folder: Path,
    settings: Export,
    model: nn.Module,
    eager: Outcome,
    data: Resident,
    *,
    name: str,
    beat: Callable[[], object],
) -> Iterator[tuple[str, Path, Outcome]]:
    """Write the forms that are asked for; of each, once it is written, its name, its file and what it computes.

    Args:
        eager: what the model computes in PyTorch
        name: what the network is called in an error
        beat: is called again and again

    Raises:
        Mistake: the network has no such form, or the file computes something else.
    """
    fp32, eight = folder / FORMS[FP32], folder / FORMS[INT8]
    eight.unlink(missing_ok=True)
    with replacing(fp32) as temporary:
        onnx_files.write(temporary, model, name, data.image_size, data.channels)
        found = outcome(Session(temporary), data, beat)
        refuse_difference(found, eager, name)
    yield FP32, fp32, found
    if settings.int8:
        from espalier.export.int8 import quantize

        with replacing(eight) as temporary:
            quantize(fp32, temporary, calibration_images(settings, data), settings, name)
            found = outcome(Session(temporary), data, beat)
        yield INT8, eight, found


def calibration_images(settings: Export, data: Resident) -> Iterator[Tensor]:
    """Normalized, unaugmented images of the train split, float32 (b, C, H, W), a few at a time."""
    for batch in calibration_batches(data, settings.calibration_images, _SEED):
        yield from batch.split(max(1, _TOGETHER // data.image_size**2))
