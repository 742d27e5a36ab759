"""The forms in which a network leaves, and their files in the folder of a run."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

FP32, INT8, QUANTIZED, PROGRAM = "ONNX fp32", "ONNX int8", "ONNX quantized", "program"
FORMS = {FP32: "fp32.onnx", INT8: "int8.onnx", QUANTIZED: "quantized.onnx", PROGRAM: "program.pt2"}
"""Form of a network → its file in the folder of a run."""


def opened(form: str, path: Path) -> "nn.Module":
    """The network of a file, from pixels uint8 (b, C, H, W) to logits float32 (b, classes).

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    if form == PROGRAM:
        from espalier.export.programs import Program

        return Program(path)
    from espalier.export.sessions import Session

    return Session(path)


def forms(folder: Path) -> "Iterator[tuple[str, nn.Module]]":
    """The name and the network of each form that an export run has written, one at a time.

    Raises:
        ArtifactError: a file is missing or damaged.
    """
    for form, name in FORMS.items():
        if form == FP32 or (Path(folder) / name).is_file():
            yield form, opened(form, Path(folder) / name)
