"""Weights of a user's own in a network: every tensor by its name, or one error that says what does not fit."""

import hashlib
import pickle
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.errors import ArtifactError, Mistake

if TYPE_CHECKING:
    from torch import Tensor, nn

_WRAPPERS = ("module.", "_orig_mod.")
"""What data parallelism and torch.compile put before every name."""
_PLACES = ("state_dict", "model_state_dict", "model")
"""Where a training script keeps the state dict among other things."""
_SHOWN = 3


def load(model: "nn.Module", path: Path) -> None:
    """Copy all weights of a file into `model`, in fp32; its counts of batches may be missing, nothing else.

    A file of safetensors, also one of levels (`<name>.int8`, `<name>.scale`), or a state dict saved by torch, which is
    read without running code from it.

    Raises:
        ArtifactError: the file cannot be read, has other tensors than the network, or numbers that are not finite.
    """
    import torch

    own = model.state_dict()
    found = {_plain(name): tensor for name, tensor in read(path).items()}
    needed = {name for name in own if not name.endswith("num_batches_tracked")}
    unfit = [name for name in own.keys() & found.keys() if own[name].shape != found[name].shape]
    missing, unknown = needed - found.keys(), found.keys() - own.keys()
    if unfit or missing or unknown:
        raise ArtifactError(f"{path}: {_misfit(own, found, unfit, missing, unknown)}")
    for name, tensor in found.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ArtifactError(f"{path}: {name} has numbers that are not finite; use weights from before that")
    model.load_state_dict(found, strict=False)


def checksum(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        Mistake: it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Mistake(f"checkpoint: {path} cannot be read ({error.strerror}); name a file of weights") from error


def read(path: Path) -> "dict[str, Tensor]":
    """The tensors of a file, on the CPU.

    Raises:
        ArtifactError: it is damaged, or neither safetensors nor a state dict.
    """
    from torch import Tensor

    with Path(path).open("rb") as file:
        zipped = file.read(2) == b"PK"
    found = _saved_by_torch(path) if zipped else _safetensors(path)
    if not found or not all(isinstance(name, str) and isinstance(one, Tensor) for name, one in found.items()):
        raise ArtifactError(f"{path}: holds no state dict; save model.state_dict(), or write safetensors")
    return found


def _safetensors(path: Path) -> "dict[str, Tensor]":
    from espalier.coding.levels_file import read as read_levels
    from espalier.quantization.qparams import Quantized

    return {
        name: one.dequantize() if isinstance(one, Quantized) else one for name, one in read_levels(Path(path)).items()
    }


def _saved_by_torch(path: Path) -> Mapping[str, Any]:
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ArtifactError(f"{path}: cannot be read as weights alone ({reason}); save model.state_dict()") from error
    if not isinstance(found, Mapping):
        raise ArtifactError(f"{path}: holds a {type(found).__name__}; save model.state_dict(), or write safetensors")
    inner = next((found[place] for place in _PLACES if isinstance(found.get(place), Mapping)), found)
    return dict(inner)


def _plain(name: str) -> str:
    while wrapper := next((each for each in _WRAPPERS if name.startswith(each)), None):
        name = name.removeprefix(wrapper)
    return name


def _misfit(
    own: "Mapping[str, Tensor]", found: "Mapping[str, Tensor]", unfit: list[str], missing: set[str], unknown: set[str]
) -> str:
    parts = []
    if unfit:
        first = sorted(unfit)[0]
        shapes = f"{first} is {tuple(found[first].shape)} and not {tuple(own[first].shape)}"
        parts.append(f"{len(unfit)} tensors of another shape ({shapes})")
    parts += [
        f"{len(names)} {what} ({', '.join(islice(sorted(names), _SHOWN))}{', …' if len(names) > _SHOWN else ''})"
        for names, what in ((missing, "missing"), (unknown, "unknown to the network"))
        if names
    ]
    shapes = [tuple(one.shape) for one in own.values()], [tuple(one.shape) for one in found.values()]
    if shapes[0] == shapes[1]:
        pairs = ", ".join(f"{old} → {new}" for old, new in islice(zip(found, own, strict=True), _SHOWN))
        return f"its names are others, in the same order and shapes: {'; '.join(parts)}. Rename them: {pairs}, …"
    return f"it is not of this network: {'; '.join(parts)}. Set model to the network that it was saved from"
