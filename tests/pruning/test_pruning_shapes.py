"""Widths as plain JSON: enough to cut a new network, and refused by another."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from espalier.errors import Mistake
from espalier.models.cct import cct
from espalier.models.resnet import resnet
from espalier.pruning.shapes import rebuild, shapes
from espalier.pruning.structured import prune


def network():
    return resnet(10, 8, blocks=(1, 1), channels=(8, 16), shortcut="A")


def test_widths_are_told_by_layer():
    model = network()
    prune(model, 8, 0.5)
    told = shapes(model)
    assert told["stages.1.conv1"] == {"in_channels": 8, "out_channels": 8, "groups": 1}
    assert told["stages.1.bn1"] == {"num_features": 8}
    assert told["classifier"] == {"in_features": 16, "out_features": 10}
    assert json.loads(json.dumps(told)) == told
    told = shapes(cct(10, 16, layers=1, heads=2, dim=8))
    assert told[""] == {"position": [1, 64, 8]}
    assert told["norm"] == {"normalized_shape": [8]}


def test_depthwise_convolutions_stay_depthwise():
    from espalier.models.mobilenetv2 import mobilenetv2

    model = mobilenetv2(10, 8, width=0.25)
    told = shapes(prune(model, 8, 0.5))
    assert told["features.3.conv.1.0"] == {"in_channels": 24, "out_channels": 24, "groups": 24}
    assert rebuild(mobilenetv2(10, 8, width=0.25), told).features[3].conv[1][0].weight.shape == (24, 1, 3, 3)


def test_an_unpruned_network_is_left_alone():
    model = network()
    parameters = list(model.parameters())
    rebuild(model, shapes(model))
    assert all(new is old for new, old in zip(model.parameters(), parameters, strict=True))


@pytest.mark.parametrize("positional", ["learnable", "sine"])
def test_a_cut_network_has_the_values_of_its_first_channels(positional):
    settings = {"layers": 1, "heads": 2, "dim": 16, "positional": positional}
    told = shapes(prune(cct(10, 16, **settings), 16, 0.5))
    torch.manual_seed(0)
    whole = cct(10, 16, **settings)
    torch.manual_seed(0)
    cut = rebuild(cct(10, 16, **settings), told)
    for name, tensor in cut.state_dict().items():
        corner = whole.state_dict()[name][tuple(slice(size) for size in tensor.shape)]
        assert torch.equal(tensor, corner), name
    assert [name for name, _ in cut.named_buffers()] == [name for name, _ in whole.named_buffers()]
    assert all(parameter.requires_grad for parameter in cut.parameters())


def test_frozen_parameters_stay_frozen():
    told = shapes(prune(network(), 8, 0.5))
    cut = rebuild(network().requires_grad_(False), told)
    assert not any(parameter.requires_grad for parameter in cut.parameters())


def test_the_meta_device_is_enough():
    told = shapes(prune(network(), 8, 0.5))
    with torch.device("meta"):
        assert shapes(rebuild(network(), told)) == told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: told.pop("stem.0"), r"stem.0: only one of the two has it"),
        (lambda told: told.update(head={"in_features": 1}), r"head: only one of the two has it"),
        (lambda told: told["stem.0"].update(out_channels=99), r"stem.0: .* cannot be cut to .*99"),
        (lambda told: told["stem.0"].pop("groups"), r"stem.0: .* cannot be cut"),
        (lambda told: told["stem.0"].update(out_channels=0), "cannot be cut"),
        (lambda told: told["stem.0"].update(out_channels="4"), "cannot be cut"),
        (lambda told: told["stem.0"].update(groups=0), "cannot be cut"),
    ],
)
def test_shapes_of_another_network_are_refused(change, message):
    told = shapes(network())
    change(told)
    with pytest.raises(Mistake, match=f"ResNet: these shapes are of another network .*{message}"):
        rebuild(network(), told)


def test_rebuilding_does_not_import_torch_pruning():
    script = (
        "import sys; from espalier.models.resnet import resnet; from espalier.pruning.shapes import rebuild, shapes;"
        "model = resnet(10, 8); rebuild(model, shapes(model)); assert 'torch_pruning' not in sys.modules"
    )
    package = Path(__file__).parents[2] / "workflow/scripts"
    subprocess.run([sys.executable, "-c", script], cwd=package, check=True)
