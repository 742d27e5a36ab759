"""Chains that start from weights of a user's own: what is read, what is refused, and the stage that trains nothing."""

import csv
import json
import pickle

import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file

from espalier import artifact
from espalier.errors import ArtifactError, Mistake
from espalier.models.own_weights import checksum, load
from espalier.plan.plan import build
from espalier.plan.problems import StudyError
from espalier.quantization.weights import nearest
from espalier.registry import choice
from scripts_as_run import run

MODEL = {"name": "resnet", "blocks": [1, 1], "channels": [4, 8]}


def network(seed=0, **settings):
    torch.manual_seed(seed)
    model = TypeAdapter(choice("model")).validate_python(MODEL | settings).build(10, 8)
    for name, tensor in model.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            tensor.uniform_(0.5, 1.5)
    return model.eval()


@pytest.fixture
def weights():
    return network(seed=7).state_dict()


def loads(path, weights):
    model = network()
    load(model, path)
    return all(torch.equal(one, weights[name]) for name, one in model.state_dict().items())


@pytest.mark.parametrize("place", [None, "state_dict", "model"])
@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.module."])
def test_a_state_dict_saved_by_torch_is_read_where_scripts_put_it(place, wrapper, weights, tmp_path):
    wrapped = {wrapper + name: tensor for name, tensor in weights.items()}
    torch.save({place: wrapped, "epoch": 3} if place else wrapped, tmp_path / "weights.pt")
    assert loads(tmp_path / "weights.pt", weights)


def test_safetensors_are_read_whatever_the_file_is_called(weights, tmp_path):
    save_file(weights, tmp_path / "weights.bin")
    assert loads(tmp_path / "weights.bin", weights)


def test_halves_become_the_same_numbers_in_fp32(weights, tmp_path):
    halves = {name: one.half() if one.is_floating_point() else one for name, one in weights.items()}
    save_file(halves, tmp_path / "weights.safetensors")
    expected = {name: one.float() if one.is_floating_point() else one for name, one in halves.items()}
    assert loads(tmp_path / "weights.safetensors", expected)


def test_levels_with_scales_are_the_numbers_that_they_stand_for(weights, tmp_path):
    tensors, expected = dict(weights), dict(weights)
    for name in [name for name, one in weights.items() if one.ndim == 4]:
        quantized = nearest(tensors.pop(name), 8, "tensor")
        tensors |= {f"{name}.int8": quantized.levels.to(torch.int8), f"{name}.scale": quantized.qparams.scale}
        expected[name] = quantized.dequantize()
    save_file(tensors, tmp_path / "weights.safetensors")
    assert loads(tmp_path / "weights.safetensors", expected)


def test_counts_of_batches_may_be_missing_and_nothing_else(weights, tmp_path):
    counts = {name for name in weights if name.endswith("num_batches_tracked")}
    assert counts
    save_file({name: one for name, one in weights.items() if name not in counts}, tmp_path / "a.safetensors")
    load(network(), tmp_path / "a.safetensors")
    save_file({name: one for name, one in weights.items() if "running_mean" not in name}, tmp_path / "b.safetensors")
    with pytest.raises(ArtifactError, match=r"missing \(.*running_mean"):
        load(network(), tmp_path / "b.safetensors")


def test_weights_of_another_network_are_refused_with_names_and_shapes(weights, tmp_path):
    save_file(weights, tmp_path / "weights.safetensors")
    model = network(channels=[4, 12])
    before = {name: one.clone() for name, one in model.state_dict().items()}
    with pytest.raises(
        ArtifactError, match=r"16 tensors of another shape \(classifier\.weight is \(10, 8\) and not \(10, 12\)"
    ):
        load(model, tmp_path / "weights.safetensors")
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def test_other_names_for_the_same_tensors_are_told_apart_and_not_guessed(weights, tmp_path):
    torch.save({f"net.{name}": one for name, one in weights.items()}, tmp_path / "weights.pt")
    first = next(iter(weights))
    with pytest.raises(ArtifactError, match=rf"same order and shapes.*Rename them: net\.{first} → {first}"):
        load(network(), tmp_path / "weights.pt")


def test_numbers_that_are_not_finite_are_refused(weights, tmp_path):
    name = next(name for name, one in weights.items() if one.ndim == 4)
    weights[name][0] = torch.nan
    save_file(weights, tmp_path / "weights.safetensors")
    with pytest.raises(ArtifactError, match=f"{name} has numbers that are not finite"):
        load(network(), tmp_path / "weights.safetensors")


class Harmful:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize("content", ["code", "cut", "pickle", "text", "list", "nothing"])
def test_what_holds_no_weights_is_one_error_and_no_code_is_run(content, weights, tmp_path, capsys):
    path = tmp_path / "weights.pt"
    if content == "code":
        torch.save({"state_dict": Harmful()}, path)
    elif content == "cut":
        torch.save(weights, path)
        path.write_bytes(path.read_bytes()[:1000])
    elif content == "list":
        torch.save([1, 2], path)
    else:
        path.write_bytes({"pickle": pickle.dumps(Harmful()), "text": b"weights", "nothing": b""}[content])
    with pytest.raises(ArtifactError, match=r"weights\.pt: "):
        load(network(), path)
    assert "run" not in capsys.readouterr().out


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(Mistake, match=r"none\.pt cannot be read"):
        checksum(tmp_path / "none.pt")


STUDY = "title: own\ndataset: digits\nmodel: {name: resnet, blocks: [1, 1], channels: [4, 8]}\n"


def problems(tmp_path, text):
    (tmp_path / "own.yaml").write_text(STUDY + text)
    with pytest.raises(StudyError) as raised:
        build([str(tmp_path / "own.yaml")], tmp_path)
    return str(raised.value)


def test_the_plan_refuses_what_cannot_start(tmp_path):
    assert "0 leaves a network untrained" in problems(tmp_path, "train: {epochs: 0}\n")
    assert "there is no file 'none.pt'" in problems(tmp_path, "train: {epochs: 0}\ncheckpoint: none.pt\n")


def test_with_no_epochs_the_weights_are_scored_and_passed_on_as_they_are(weights, tmp_path):
    data, folder = tmp_path / "digits-00000000aa.safetensors", tmp_path / "resnet-00000000bb"
    assert run("prepare_data", data, "dataset.name=digits", "dataset.image_size=8").returncode == 0
    save_file(weights, tmp_path / "weights.safetensors")
    words = [f"model={json.dumps(MODEL)}", "train.epochs=0", f"checkpoint={tmp_path}/weights.safetensors"]
    done = run("train", folder, "--data", data, *words)
    assert done.returncode == 0, done.stderr
    made = artifact.load(folder).model.state_dict()
    assert all(torch.equal(one, weights[name]) for name, one in made.items())
    with (folder / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["epochs"], row["best_epoch"], row["train_loss"]) == ("0", "0", "")
    assert float(row["validation_loss"]) > 0
    assert len((folder / "history.csv").read_text().splitlines()) == 1
    assert json.loads((folder / "run.json").read_text())["checkpoint_sha256"] == checksum(
        tmp_path / "weights.safetensors"
    )


def test_trained_on_from_a_checkpoint_the_first_epoch_is_better_than_from_nothing(tmp_path):
    data = tmp_path / "digits-00000000aa.safetensors"
    assert run("prepare_data", data, "dataset.name=digits", "dataset.image_size=8").returncode == 0
    words = [f"model={json.dumps(MODEL)}", "train.epochs=4"]
    assert run("train", tmp_path / "first-00000000b0", "--data", data, *words).returncode == 0
    start = tmp_path / "first-00000000b0" / "model.safetensors"
    words = [words[0], "train.epochs=1", f"checkpoint={start}"]
    assert run("train", tmp_path / "second-00000000b1", "--data", data, *words).returncode == 0

    def first_loss(name):
        with (tmp_path / name / "history.csv").open() as file:
            return float(next(csv.DictReader(file))["train_loss"])

    assert first_loss("second-00000000b1") < first_loss("first-00000000b0")
