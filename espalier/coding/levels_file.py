"""Quantized networks that others published: `<name>.int8` and `<name>.scale` in a safetensors file, the rest as is."""

from pathlib import Path

import torch
from torch import Tensor

from espalier.errors import ArtifactError
from espalier.quantization.qparams import QParams, Quantized, levels

_LOWEST, _HIGHEST = levels(8, symmetric=True)


def read(path: Path) -> dict[str, Quantized | Tensor]:
    """The tensors of a file, with one scale a tensor.

    Raises:
        ArtifactError: the file is damaged, levels have no scale, or one is -128.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path}: it cannot be read ({error}). Copy it from its source again") from error
    made: dict[str, Quantized | Tensor] = {}
    for name, tensor in found.items():
        whole, _, kind = name.rpartition(".")
        if kind == "int8":
            scale = found.get(f"{whole}.scale")
            if scale is None or scale.numel() != 1 or (tensor.numel() and tensor.min() < _LOWEST):
                raise ArtifactError(f"{path}: {name} needs one {whole}.scale and levels of {_LOWEST} to {_HIGHEST}")
            zero_point = torch.zeros((), dtype=torch.int32)
            made[whole] = Quantized(tensor.int(), QParams(scale.float().reshape(()), zero_point, _LOWEST, _HIGHEST))
        elif kind != "scale" or f"{whole}.int8" not in found:
            made[name] = tensor
    return made
