"""Levels that others published, beside tensors of other kinds."""

import pytest
import torch
from safetensors.torch import save_file

from espalier.coding import levels_file
from espalier.errors import ArtifactError


def test_levels_of_others_are_read_with_their_scale(tmp_path):
    path = tmp_path / "a.safetensors"
    tensors = {
        "a.b.int8": torch.tensor([[-127, 127]], dtype=torch.int8),
        "a.b.scale": torch.tensor([0.5], dtype=torch.float16),
        "none.int8": torch.zeros(0, dtype=torch.int8),
        "none.scale": torch.tensor(2.0),
        "a.b.bias": torch.tensor([1.5]),
    }
    save_file(tensors, path)
    found = levels_file.read(path)
    assert found.keys() == {"a.b", "none", "a.b.bias"}
    assert torch.equal(found["a.b.bias"], torch.tensor([1.5]))
    levels, (scale, zero_point, lowest, highest) = found["a.b"]
    assert (levels.dtype, levels.tolist()) == (torch.int32, [[-127, 127]])
    assert (scale.dtype, scale.shape, scale.item()) == (torch.float32, (), 0.5)
    assert (zero_point.dtype, zero_point.shape, zero_point.item()) == (torch.int32, (), 0)
    assert (lowest, highest) == (-127, 127)
    assert found["none"].levels.shape == (0,)


def test_a_file_of_others_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match=rf"^{path}: it cannot be read \(.+\)\. Copy it from its source again$"):
        levels_file.read(path)
