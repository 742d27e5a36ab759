"""A coded file as a plain state dict in safetensors, made without torch."""

from pathlib import Path

import numpy as np

from espalier.coding.decoder import naming_file, read
from espalier.coding.network_record import SCALE, ZERO_POINT, Record, parse
from espalier.coding.raw_tensors import Raw, RawLevels
from espalier.files import replacing


def write(coded: Path, output: Path) -> Record:
    """Write the tensors of a file in fp32, weights as the numbers that their levels stand for; what it records.

    What the network does to the inputs of its layers is no part of a state dict.

    Raises:
        ArtifactError: the file is missing, damaged, or of another version.
    """
    from safetensors.numpy import save_file

    found = read(coded)
    with naming_file(coded):
        record = parse(found.record)
    tensors = {name: _in_fp32(one) for name, one in found.tensors.items() if name not in (SCALE, ZERO_POINT)}
    with replacing(output) as temporary:
        save_file(tensors, temporary)
    return record


def _in_fp32(tensor: Raw | RawLevels) -> np.ndarray:
    """Its values; halves of floats are widened."""
    if isinstance(tensor, RawLevels):
        return tensor.dequantize()
    if tensor.dtype == "bfloat16":
        return (tensor.words.astype(np.uint32) << 16).view(np.float32).reshape(tensor.shape)
    return tensor.values().astype(np.float32) if tensor.dtype == "float16" else tensor.values()
