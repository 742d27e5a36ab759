"""Files of weights that others saved: read without running code from them, and the state dict found where it lies."""

import argparse
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from espalier.errors import ArtifactError

if TYPE_CHECKING:
    from torch import Tensor

RAW = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "module")
"""Where a training script keeps the weights that the optimizer moves."""
EMA = ("state_dict_ema", "model_ema", "model_ema_state_dict", "ema_state_dict", "ema_model", "ema", "averaged_model")
"""Where it keeps their moving average."""


def read(
    path: Path, weights: Literal["raw", "ema"] | None = None
) -> "tuple[dict[str, Tensor], Literal['raw', 'ema'] | None, list[str]]":
    """Read the tensors of a weights file, on the CPU, by name; levels are dequantized.

    Levels are stored as `<name>.int8` and `<name>.scale`.

    Args:
        weights: which to take where a file holds both raw weights and their moving average

    Returns:
        the tensors; the choice of `weights` that is still to be made by their names, if any; lines for the log

    Raises:
        ArtifactError: the file is damaged, is neither safetensors nor a state dict, or lacks the weights asked for.
    """
    import torch

    path = Path(path)
    if path.is_dir():
        raise ArtifactError(f"{path}: is a folder; name a file of weights, or a run: checkpoint: {{run: {path.name}}}")
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise ArtifactError(f"{path}: it cannot be read ({error.strerror}); name a file of weights") from error
    # Safetensors begin with eight bytes of length and a header that is JSON.
    if start[8:] == b"{":
        found, remarks = _safetensors(path), []
    else:
        found, weights, remarks = _placed(path, _saved_by_torch(path), weights)
    if not found:
        raise ArtifactError(f"{path}: it holds no tensor; save model.state_dict(), or write safetensors")
    for name, one in found.items():
        if not isinstance(name, str) or not isinstance(one, torch.Tensor):
            kinds = f"{name!r}, a {type(one).__name__}"
            raise ArtifactError(f"{path}: it is no state dict but holds {kinds}; save model.state_dict()")
        if one.layout != torch.strided or one.is_quantized or one.device.type != "cpu":
            raise ArtifactError(f"{path}: {name} is sparse, quantized or without numbers; save it as a plain tensor")
    return found, weights, remarks


def _safetensors(path: Path) -> "dict[str, Tensor]":
    from espalier.coding.levels_file import read as read_levels
    from espalier.quantization.qparams import Quantized

    return {name: one.dequantize() if isinstance(one, Quantized) else one for name, one in read_levels(path).items()}


def _saved_by_torch(path: Path) -> Mapping:
    import torch

    try:
        # The words of a command line, which many scripts save beside the weights, are plain attributes.
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise anything
        # Torch's own message is a page long and advises to load the file unsafely, which runs code in it.
        foreign = re.search(r"\bGLOBAL ([\w.]+)", str(error))
        why = f"it also holds a {foreign[1]}" if foreign else "it is damaged, or neither safetensors nor a state dict"
        raise ArtifactError(f"{path}: {why}; save model.state_dict() alone, or write safetensors") from error
    if not isinstance(found, Mapping):
        raise ArtifactError(f"{path}: it holds a {type(found).__name__}; save model.state_dict(), or write safetensors")
    return found


def _placed(path: Path, found: Mapping, weights: Any) -> tuple[dict, Any, list[str]]:
    """The state dict in what a script saved, the choice that is still open, and what was chosen."""
    remarks: list[str] = []
    while True:
        raw = next((place for place in RAW if isinstance(found.get(place), Mapping)), None)
        ema = next((place for place in EMA if isinstance(found.get(place), Mapping)), None)
        if ema and weights == "raw" and not raw:
            raise ArtifactError(f"{path}: it holds EMA weights alone ({ema}); set checkpoint.weights to ema")
        if ema and (weights == "ema" or not raw):
            remarks.append(f"EMA weights ({ema}) are taken" + ("" if raw else ", the only ones there"))
            # All tensors inside it belong to the average, whatever they are called.
            found, weights = found[ema], None
        elif raw:
            if ema:
                mend = "" if weights else "; checkpoint.weights: ema takes these"
                remarks.append(f"raw weights ({raw}) are taken and not their EMA ({ema}){mend}")
                weights = None
            found = found[raw]
        else:
            return dict(found), weights, remarks
