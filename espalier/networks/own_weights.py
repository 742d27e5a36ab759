"""Weights of a user's own in a network: every tensor by its name, or one error that says what does not fit."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from espalier.errors import ArtifactError, Mistake
from espalier.models.facts import facts_of
from espalier.networks.weights_file import read
from espalier.networks.weights_misfits import STATISTICS, misfit
from espalier.networks.weights_names import named
from espalier.settings.start import Start

if TYPE_CHECKING:
    from torch import nn


def load(model: "nn.Module", start: Start) -> list[str]:
    """Copy the weights of a file into `model`, in its types; what was chosen and left out, a line each, for the log.

    A file of safetensors, also one of levels (`<name>.int8`, `<name>.scale`), or what a training script saved with
    torch, which is read without running code from it. Known wrappers are taken off names. Counts of batches may be
    missing; nothing else, unless `start` has it begin anew. On an error the model stays what it was.

    Raises:
        Mistake: a regular expression of `start.rename` cannot be used, or is in no name.
        ArtifactError: the file cannot be read, has other tensors than the network, or numbers that are not finite.
    """
    import torch

    path = Path(start.file)
    own = model.state_dict()
    tensors, weights, remarks = read(path, start.weights)
    found, more = named(path, tensors, own, start.rename, weights)
    remarks += more
    anew: list[str] = []
    if start.new_classifier:
        classifier = facts_of(model).classifier
        anew += [name for name in own if name.startswith(f"{classifier}.")]
        found = {name: tensor for name, tensor in found.items() if name not in anew}
        remarks.append(f"started anew: {classifier}")
    if start.new_statistics:
        absent = [name for name in own if name.endswith(STATISTICS) and name not in found]
        anew += absent
        remarks.append(f"started anew: {len(absent)} running statistics")
    if reason := misfit(model, {name: one for name, one in own.items() if name not in anew}, found):
        raise ArtifactError(f"{path}: {reason}")
    for name, tensor in found.items():
        if own[name].is_floating_point() != tensor.is_floating_point():
            kinds = " and not ".join(str(one.dtype).removeprefix("torch.") for one in (tensor, own[name]))
            raise ArtifactError(f"{path}: {name} is {kinds}; save the numbers, or {name}.int8 beside {name}.scale")
        found[name] = tensor.to(own[name].dtype)
        if not torch.isfinite(found[name]).all():
            raise ArtifactError(f"{path}: {name} has numbers that are not finite in fp32; use weights from before that")
    model.load_state_dict(found, strict=False)
    return remarks


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
