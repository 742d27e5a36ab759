"""Pruned networks as artifacts: saved, loaded and exported, they answer as they did."""

import pytest
import torch
from pydantic import TypeAdapter

from espalier.networks import artifact
from espalier.pruning.shapes import shapes
from espalier.pruning.structured import prune
from espalier.settings.registry import choice

NETWORKS = {
    "cct": {"name": "cct", "layers": 2, "dim": 32, "heads": 2},
    "cct without heads": {"name": "cct", "layers": 2, "dim": 32, "heads": 4},
    "cvt": {"name": "cvt", "layers": 2, "dim": 32, "heads": 2},
    "resnet": {"name": "resnet", "channels": [8, 16, 32]},
    "densenet": {"name": "densenet", "blocks": [2, 2], "growth_rate": 8},
    "mobilenetv2": {"name": "mobilenetv2"},
}


@pytest.fixture(params=NETWORKS, scope="module")
def pruned(request, tmp_path_factory):
    torch.manual_seed(0)
    made = TypeAdapter(choice("model")).validate_python(NETWORKS[request.param])
    model = made.build(10, 16)
    whole = sum(parameter.numel() for parameter in model.parameters())
    prune(model, 16, 0.5, head_ratio=0.5 if request.param == "cct without heads" else None)
    # A step of training, so that the statistics of normalization are no longer those of a new network.
    model.train()(torch.randn(8, 3, 16, 16)).square().mean().backward()
    torch.optim.AdamW(model.parameters(), lr=1e-2).step()
    folder = tmp_path_factory.mktemp(request.param)
    artifact.save(folder, model.state_dict(), made, 10, 16, shapes(model))
    return model.eval(), artifact.load(folder), whole


@torch.no_grad()
def test_loaded_it_gives_the_same_bits(pruned):
    model, loaded, whole = pruned
    images = torch.randn(4, 3, 16, 16)
    assert torch.equal(loaded.model(images), model(images))
    assert sum(parameter.numel() for parameter in loaded.model.parameters()) < 0.6 * whole
    assert loaded.model.facts == model.facts


@torch.no_grad()
def test_exported_it_answers_alike_at_any_batch_size(pruned):
    model, loaded, _ = pruned
    batch = torch.export.Dim("batch")
    program = torch.export.export(loaded.model, (torch.randn(2, 3, 16, 16),), dynamic_shapes=[{0: batch}])
    for count in (2, 7):
        images = torch.randn(count, 3, 16, 16)
        torch.testing.assert_close(program.module()(images), model(images), rtol=1e-4, atol=1e-5)
