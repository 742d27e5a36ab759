"""Weights of a user's own in a network: every tensor by its name, or one error that says what does not fit."""

import hashlib
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from espalier.errors import ArtifactError, Mistake

if TYPE_CHECKING:
    from torch import Tensor, nn

_WRAPPERS = ("module.", "_orig_mod.")
"""What data parallelism and torch.compile put before every name."""
_PLACES = ("state_dict", "model_state_dict", "model", "net")
"""Where a training script keeps the state dict among other things."""
_COUNT = "num_batches_tracked"
_SHOWN = 3


def load(model: "nn.Module", path: Path, rename: Sequence[tuple[str, str]] = ()) -> None:
    """Copy all weights of a file into `model`, in its types; counts of batches may be missing, nothing else.

    A file of safetensors, also one of levels (`<name>.int8`, `<name>.scale`), or a state dict saved by torch, which is
    read without running code from it. On an error the model stays what it was.

    Args:
        rename: regular expressions and what they are replaced by, one after the other, in every name of the file

    Raises:
        Mistake: a regular expression of `rename` cannot be used, or matches no name.
        ArtifactError: the file cannot be read, has other tensors than the network, or numbers that are not finite.
    """
    import torch

    own = model.state_dict()
    found = _named(path, read(path), rename)
    if told := _misfit(own, found):
        raise ArtifactError(f"{path}: {told}")
    for name, tensor in found.items():
        if own[name].is_floating_point() != tensor.is_floating_point():
            kinds = " and not ".join(str(one.dtype).removeprefix("torch.") for one in (tensor, own[name]))
            raise ArtifactError(f"{path}: {name} is {kinds}; save the numbers, or {name}.int8 beside {name}.scale")
        found[name] = tensor.to(own[name].dtype)
        if not torch.isfinite(found[name]).all():
            raise ArtifactError(f"{path}: {name} has numbers that are not finite in fp32; use weights from before that")
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
    """The tensors of a file by name, on the CPU; levels (`<name>.int8`, `<name>.scale`) as the numbers they stand for.

    Raises:
        ArtifactError: it is damaged, or neither safetensors nor a state dict.
    """
    import torch

    try:
        with Path(path).open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise ArtifactError(f"{path}: it cannot be read ({error.strerror}); name a file of weights") from error
    # Safetensors begin with eight bytes of length and a header that is JSON.
    found = _safetensors(path) if start[8:] == b"{" else _saved_by_torch(path)
    if not found:
        raise ArtifactError(f"{path}: it holds no tensor; save model.state_dict(), or write safetensors")
    for name, one in found.items():
        if not isinstance(name, str) or not isinstance(one, torch.Tensor):
            kinds = f"{name!r}, a {type(one).__name__}"
            raise ArtifactError(f"{path}: it is no state dict but holds {kinds}; save model.state_dict()")
        if one.layout != torch.strided or one.is_quantized or one.device.type != "cpu":
            raise ArtifactError(f"{path}: {name} is sparse, quantized or without numbers; save it as a plain tensor")
    return found


def _safetensors(path: Path) -> "dict[str, Tensor]":
    from espalier.coding.levels_file import read as read_levels
    from espalier.quantization.qparams import Quantized

    return {
        name: one.dequantize() if isinstance(one, Quantized) else one for name, one in read_levels(Path(path)).items()
    }


def _saved_by_torch(path: Path) -> "dict[str, Tensor]":
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # there is no end of what the bytes of a damaged file raise
        # Torch's own message is a page long and recommends to run what is in the file.
        foreign = re.search(r"\bGLOBAL ([\w.]+)", str(error))
        why = f"it also holds a {foreign[1]}" if foreign else "it is damaged, or neither safetensors nor a state dict"
        raise ArtifactError(f"{path}: {why}; save model.state_dict() alone, or write safetensors") from error
    if not isinstance(found, Mapping):
        raise ArtifactError(f"{path}: it holds a {type(found).__name__}; save model.state_dict(), or write safetensors")
    return dict(next((found[place] for place in _PLACES if isinstance(found.get(place), Mapping)), found))


def _named(path: Path, tensors: "Mapping[str, Tensor]", rename: Sequence[tuple[str, str]]) -> "dict[str, Tensor]":
    names = [_plain(name) for name in tensors]
    for pattern, new in rename:
        try:
            changed = [re.subn(pattern, new, name) for name in names]
        except (re.error, IndexError) as error:
            raise Mistake(f"checkpoint.rename: {pattern!r} to {new!r} cannot be used ({error}); mend it") from error
        if not any(times for _, times in changed):
            raise Mistake(f"checkpoint.rename: {pattern!r} is in no name of {path}; the first is {names[0]!r}")
        names = [name for name, _ in changed]
    found = dict(zip(names, tensors.values(), strict=True))
    if len(found) < len(tensors):
        twice = next(name for name in names if names.count(name) > 1)
        raise ArtifactError(f"{path}: two tensors are named {twice} without their prefixes; keep one of them")
    return found


def _plain(name: str) -> str:
    while wrapper := next((each for each in _WRAPPERS if name.startswith(each)), None):
        name = name.removeprefix(wrapper)
    return name


def _misfit(own: "Mapping[str, Tensor]", found: "Mapping[str, Tensor]") -> str:
    """What does not fit and what to do about it; nothing where all does."""
    needed = _shapes(own)
    given = _shapes(found)
    unfit = [name for name in own.keys() & found.keys() if own[name].shape != found[name].shape]
    missing, unknown = needed.keys() - found.keys(), found.keys() - own.keys()
    if not (unfit or missing or unknown):
        return ""
    parts = []
    if unfit:
        shown = (f"{name} is {tuple(found[name].shape)} and not {tuple(own[name].shape)}" for name in sorted(unfit))
        parts.append(f"{len(unfit)} of another shape ({_first(shown, len(unfit))})")
    for names, what, source in ((missing, "missing", own), (unknown, "unknown to the network", found)):
        if names:
            shown = (f"{name} {tuple(source[name].shape)}" for name in sorted(names))
            parts.append(f"{len(names)} {what} ({_first(shown, len(names))})")
    told = f"of {len(needed)} tensors {'; '.join(parts)}"
    if [*needed.values()] == [*given.values()]:
        pairs = [f"{old} → {new}" for old, new in zip(given, needed, strict=True) if old != new]
        return f"its names are others, in the same order and shapes: {told}. Rename {_first(pairs, len(pairs))}"
    return f"it is not of this network: {told}. Set model to the network that it was saved from"


def _shapes(tensors: "Mapping[str, Tensor]") -> dict[str, tuple[int, ...]]:
    return {name: tuple(one.shape) for name, one in tensors.items() if not name.endswith(_COUNT)}


def _first(shown: Iterable[str], count: int) -> str:
    return ", ".join(islice(shown, _SHOWN)) + (", …" if count > _SHOWN else "")
