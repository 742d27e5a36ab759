import json

import pytest
import torch
from pydantic import TypeAdapter

from espalier.errors import ArtifactError
from espalier.networks import artifact
from espalier.settings.registry import choice, entries


def made(name="resnet", **settings):
    return TypeAdapter(choice("model")).validate_python({"name": name, **settings})


@pytest.fixture
def saved(tmp_path):
    model = made(blocks=[1, 1], channels=[4, 8])
    network = model.build(3, 16)
    folder = tmp_path / "run-0123456789"
    artifact.save(folder, network.state_dict(), model, 3, 16)
    return folder, network


def test_the_network_comes_back_with_its_outputs(saved):
    folder, network = saved
    loaded = artifact.load(folder)
    images = torch.randn(5, 3, 16, 16)
    assert (loaded.num_classes, loaded.image_size, loaded.choice.channels) == (3, 16, (4, 8))
    assert not loaded.model.training
    torch.testing.assert_close(loaded.model(images), network.eval()(images), rtol=0, atol=0)


@pytest.mark.parametrize("name", sorted(entries("model")))
def test_every_model_comes_back(name, tmp_path):
    network = made(name).build(10, 32)
    artifact.save(tmp_path, network.state_dict(), made(name), 10, 32)
    weights, loaded = network.state_dict(), artifact.load(tmp_path).model.state_dict()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[key], weights[key]) for key in weights)


def test_equal_weights_give_equal_bytes_in_any_memory_order(saved, tmp_path):
    folder, network = saved
    nhwc = network.to(memory_format=torch.channels_last).state_dict()
    artifact.save(tmp_path / "b", nhwc, made(blocks=[1, 1], channels=[4, 8]), 3, 16)
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "b" / name).read_bytes() == (folder / name).read_bytes()


def edit(folder, **changes):
    record = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(record | changes))


DAMAGES = {
    "model.json: it does not exist": lambda folder: (folder / "model.json").unlink(),
    "model.safetensors: it does not exist": lambda folder: (folder / "model.safetensors").unlink(),
    "model.json: it cannot be read": lambda folder: (folder / "model.json").write_text("{"),
    "model.json: its format is 99, and this version reads 1": lambda folder: edit(folder, format=99),
    "model.json: model.*no_such": lambda folder: edit(folder, model={"name": "no_such"}),
    "model.json: model.*depth": lambda folder: edit(folder, model={"name": "resnet", "depth": 3}),
    "model.safetensors: it is cut short or damaged": lambda folder: (folder / "model.safetensors").write_bytes(
        (folder / "model.safetensors").read_bytes()[:-9]
    ),
    "model.safetensors: it does not fit .*model.json: .*classifier": lambda folder: edit(folder, num_classes=4),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_an_unusable_artifact_names_the_file_and_the_mend(message, saved):
    folder, _ = saved
    DAMAGES[message](folder)
    with pytest.raises(ArtifactError, match=message + ".*espalier forget run-0123456789"):
        artifact.load(folder)


def test_nothing_is_unpickled(saved):
    folder, _ = saved
    torch.save({"weights": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(ArtifactError, match="cut short or damaged"):
        artifact.load(folder)
