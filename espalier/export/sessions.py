"""ONNX files as networks to score and to time, run by ONNX Runtime on the CPU."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn

from espalier.data.resident import Resident
from espalier.errors import ArtifactError
from espalier.export.graph_inputs import of_pixels, read_metadata
from espalier.metrics.latency import BATCHES, filled, latency
from espalier.runs.record import mend

_FATAL = 4
"""The least severity that ONNX Runtime prints: warnings are its optimizer's own affair, and errors are raised too."""

onnxruntime.set_default_logger_severity(_FATAL)


class Session(nn.Module):
    """A network of an ONNX file of ours; from pixels uint8 (b, C, H, W) to logits float32 (b, classes)."""

    def __init__(self, path: Path) -> None:
        """Open a file, to be run by as many threads as torch has.

        Raises:
            ArtifactError: the file is missing, damaged, no network of one input and one output, or does not say how it
                is fed.
        """
        super().__init__()
        self._path = path = Path(path)
        if not path.is_file():
            raise _unusable(path, "it does not exist")
        try:
            self._session = onnxruntime.InferenceSession(path, options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no class of their own in common.
            reason = " ".join(str(error).split())
            raise _unusable(path, f"ONNX Runtime cannot open it ({reason})") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise _unusable(path, f"it has {len(inputs)} inputs and {len(outputs)} outputs, not one of each")
        self._images = inputs[0].name
        try:
            self.feed, self._takes = read_metadata(self._session.get_modelmeta().custom_metadata_map)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise _unusable(path, f"it does not say how it is fed ({reason})") from error

    def forward(self, images: Tensor) -> Tensor:
        """Logits of a batch of any size; the images are brought to what the file takes.

        Raises:
            ArtifactError: the images are not of the size that the network was exported for.
        """
        try:
            taken = of_pixels(images.cpu(), self.feed, self._takes).contiguous()
            (logits,) = self._session.run(None, {self._images: taken.numpy()})
        except Exception as error:
            reason = " ".join(str(error).split())
            raise _unusable(self._path, f"it does not run on images {tuple(images.shape)} ({reason})") from error
        return torch.from_numpy(logits).to(images.device)


def options() -> onnxruntime.SessionOptions:
    """Options of a session that takes as many threads as torch has."""
    made = onnxruntime.SessionOptions()
    made.log_severity_level = _FATAL
    made.intra_op_num_threads = torch.get_num_threads()
    made.inter_op_num_threads = 1
    # Threads that go on looking for work after a run would take the cores of whatever is timed next.
    made.add_session_config_entry("session.force_spinning_stop", "1")
    return made


def _unusable(path: Path, why: str) -> ArtifactError:
    return ArtifactError(f"{path}: {why}. {mend(path.parent)}")


def timed(arms: Mapping[str, nn.Module | Callable[[Tensor], object]], data: Resident) -> dict[str, dict[str, Any]]:
    """Form → the columns of formats.csv that hold times, on validation images; speedups are over the first form."""
    rows: dict[str, dict[str, Any]] = {name: {} for name in arms}
    for batch in BATCHES:
        (images, _) = next(data.batches("validation", batch, pixels=True))
        found = latency([*arms.values()], filled(images, batch))
        for row, own in zip(rows.values(), found, strict=True):
            row |= {f"latency_{batch}_ms": own.median, f"latency_{batch}_iqr_ms": own.spread}
            row |= {f"speedup_{batch}": own.speedup(found[0])}
    return rows
