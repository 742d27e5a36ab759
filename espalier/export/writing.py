"""The files of an export run, each in place only once it was found to be right."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from espalier.data.feed import Feed
from espalier.data.resident import Resident
from espalier.export import onnx_files
from espalier.export.agreement import Outcome, outcome, refuse_difference
from espalier.export.forms import FORMS, FP32, INT8, PROGRAM, QUANTIZED, opened
from espalier.files import replacing
from espalier.quantization.calibration_images import calibration_batches
from espalier.quantization.quantized import Quantization
from espalier.settings.sections import Export

_TOGETHER = 8 * 32**2
"""Pixels of images that calibration looks at at once; all activations of them are in memory."""
_SEED = 0
"""What the images of the calibration are drawn by."""


class Quantized(NamedTuple):
    """The network that the chain has quantized."""

    plain: Callable[[], nn.Module]
    """makes a copy with weights on their levels and no quantizer installed"""
    quantization: Quantization
    eager: Outcome
    """what it computes in PyTorch, its inputs quantized"""


def write(
    folder: Path,
    settings: Export,
    model: nn.Module,
    eager: Outcome,
    data: Resident,
    quantized: Quantized | None = None,
    *,
    name: str,
    beat: Callable[[], object],
) -> Iterator[tuple[str, Path, Outcome]]:
    """Write the exported files that the settings ask for, and run each over the data.

    Yields:
        after each file: its form, its path, and its outcome

    Args:
        model: the float network
        eager: outcome of `model` in PyTorch
        quantized: the quantized network of the chain; it is exported then, and no other 8-bit network is made
        name: of the network, for messages
        beat: called repeatedly while a file is run

    Raises:
        Mistake: the network cannot be exported in a form, or the exported float network gives other results.
    """
    feed, takes, sides = Feed.of(data), settings.input, (data.image_size, data.channels)
    for file in FORMS.values():
        (folder / file).unlink(missing_ok=True)

    def kept(form: str, make: Callable[[Path], None], wanted: Outcome | None = None) -> tuple[str, Path, Outcome]:
        path = folder / FORMS[form]
        with replacing(path) as temporary:
            make(temporary)
            found = outcome(opened(form, temporary), data, beat)
            if wanted:
                refuse_difference(found, wanted, name)
        return form, path, found

    fp32 = onnx_files.converted(model, name, *sides)
    yield kept(FP32, lambda path: onnx_files.save(path, fp32, feed, takes), eager)
    if quantized:
        from espalier.export.qdq import quantized as with_levels

        proto = with_levels(quantized.plain(), quantized.quantization, name, *sides)
        yield kept(QUANTIZED, lambda path: onnx_files.save(path, proto, feed, takes))
    elif settings.int8:
        from espalier.export.int8 import quantize

        eight = quantize(fp32, calibration_images(settings, data), settings, name)
        yield kept(INT8, lambda path: onnx_files.save(path, eight, feed, takes))
    if settings.program:
        from espalier.export.programs import write as write_program
        from espalier.export.quantized_layers import put_in

        if quantized:
            image = torch.zeros(1, data.channels, data.image_size, data.image_size)
            model = put_in(quantized.plain(), quantized.quantization, image, "torch")
        yield kept(PROGRAM, lambda path: write_program(path, model, feed, takes, name), None if quantized else eager)


def calibration_images(settings: Export, data: Resident) -> Iterator[Tensor]:
    """Normalized, unaugmented images of the train split, float32 (b, C, H, W), a few at a time."""
    for batch in calibration_batches(data, settings.calibration_images, _SEED):
        yield from batch.split(max(1, _TOGETHER // data.image_size**2))
