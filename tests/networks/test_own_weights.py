"""Chains that start from weights of a user's own: what is read, what is refused, and the stage that trains nothing."""

import argparse
import csv
import datetime
import json
import pickle
import random
import re
import signal

import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file
from torch.optim.swa_utils import AveragedModel

from espalier.data.resident import Resident
from espalier.errors import ArtifactError, Mistake
from espalier.metrics.accuracy import score
from espalier.networks import artifact, own_weights
from espalier.networks.own_weights import checksum
from espalier.plan.build import build
from espalier.quantization.weights import nearest
from espalier.runs.columns import HISTORY
from espalier.settings.problems import StudyError
from espalier.settings.registry import choice
from espalier.settings.start import Start
from support.scripts_as_run import interrupt, preloaded, run, script

MODEL = {"name": "resnet", "blocks": [1, 1], "channels": [4, 8]}


def network(seed=0, **settings):
    torch.manual_seed(seed)
    model = TypeAdapter(choice("model")).validate_python(MODEL | settings).build(10, 8, 1)
    for name, tensor in model.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            tensor.uniform_(0.5, 1.5)
    return model.eval()


@pytest.fixture
def weights():
    return network(seed=7).state_dict()


def load(model, path, **settings):
    return own_weights.load(model, Start(file=str(path), **settings))


def loads(path, weights):
    model = network()
    load(model, path)
    return all(torch.equal(one, weights[name]) for name, one in model.state_dict().items())


@pytest.mark.parametrize("place", [None, "state_dict", "model", "net", "model_state_dict"])
@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.module.", "model.", "net.", "model._orig_mod."])
def test_a_state_dict_saved_by_torch_is_read_where_scripts_put_it(place, wrapper, weights, tmp_path):
    wrapped = {wrapper + name: tensor for name, tensor in weights.items()}
    kept = {place: wrapped, "optimizer": {"state": {}}, "epoch": 3, "args": argparse.Namespace(lr=0.1)}
    torch.save(kept if place else wrapped, tmp_path / "weights.pt")
    assert loads(tmp_path / "weights.pt", weights)


def test_the_older_format_of_torch_is_read_too(weights, tmp_path):
    torch.save(weights, tmp_path / "weights.pth", _use_new_zipfile_serialization=False)
    assert loads(tmp_path / "weights.pth", weights)


def test_safetensors_are_read_whatever_the_file_is_called(weights, tmp_path):
    save_file(weights, tmp_path / "weights.bin")
    assert loads(tmp_path / "weights.bin", weights)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_other_widths_become_fp32(kind, weights, tmp_path):
    others = {name: one.to(kind) if one.is_floating_point() else one for name, one in weights.items()}
    save_file(others, tmp_path / "weights.safetensors")
    expected = {name: one.float() if one.is_floating_point() else one for name, one in others.items()}
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
    with pytest.raises(ArtifactError, match=r"running statistics .* missing \(.*running_mean.*new_statistics"):
        load(network(), tmp_path / "b.safetensors")


def test_weights_of_another_network_are_refused_with_names_and_shapes(weights, tmp_path):
    save_file(weights, tmp_path / "weights.safetensors")
    model = network(channels=[4, 12])
    before = {name: one.clone() for name, one in model.state_dict().items()}
    with pytest.raises(
        ArtifactError,
        match=r"32 tensors 16 of another shape \(classifier\.weight is \(10, 8\) and not \(10, 12\).*: it is of this ",
    ):
        load(model, tmp_path / "weights.safetensors")
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def renamed(weights, old, new):
    return {name.replace(old, new): one for name, one in weights.items() if "num_batches" not in name}


def test_other_names_for_the_same_tensors_are_told_with_the_change_and_not_guessed(weights, tmp_path):
    first = next(iter(weights))
    torch.save(renamed(weights, "", ""), tmp_path / "same.pt")
    load(network(), tmp_path / "same.pt")
    torch.save({f"encoder.{name}": one for name, one in weights.items()}, tmp_path / "weights.pt")
    told = rf"same order and shapes.* Rename encoder\.{first} → {first}, .*…: "
    with pytest.raises(ArtifactError, match=told + re.escape("checkpoint.rename: {'^encoder\\.': ''}")):
        load(network(), tmp_path / "weights.pt")
    load(network(), tmp_path / "weights.pt", rename={r"^encoder\.": ""})


def test_of_other_names_only_those_that_differ_are_shown(weights, tmp_path):
    last = [name.rpartition(".")[0] for name in weights][-1]
    torch.save(renamed(weights, f"{last}.", "linear."), tmp_path / "weights.pt")
    pairs = rf"Rename linear\.weight → {last}\.weight, linear\.bias → {last}\.bias: "
    with pytest.raises(ArtifactError, match=pairs + re.escape(f"checkpoint.rename: {{'^linear\\.': '{last}.'}}")):
        load(network(), tmp_path / "weights.pt")


def test_names_are_changed_as_asked_one_after_the_other(weights, tmp_path):
    last = [name.rpartition(".")[0] for name in weights][-1]
    others = {f"encoder.{name}": one for name, one in renamed(weights, f"{last}.", "linear.").items()}
    torch.save(others | {"criterion.weight": torch.ones(10)}, tmp_path / "weights.pt")
    model = network()
    rename = {r"^encoder\.": "", r"^linear\.(\w+)$": rf"{last}.\1", r"^criterion\.": None}
    load(model, tmp_path / "weights.pt", rename=rename)
    for name, one in model.state_dict().items():
        assert "num_batches" in name or torch.equal(one, weights[name]), name


@pytest.mark.parametrize("content", ["places", "names", "module"])
@pytest.mark.parametrize("asked", [None, "raw", "ema"])
def test_of_raw_weights_and_their_average_the_raw_ones_are_taken_unless_asked(content, asked, weights, tmp_path):
    average = network(seed=9).state_dict()
    counted = {"n_averaged": torch.tensor(5), **{f"module.{name}": one for name, one in average.items()}}
    kept = {
        "places": {"state_dict": weights, "state_dict_ema": average, "epoch": 3},
        "names": {f"model.{name}": one for name, one in weights.items()}
        | {f"ema_model.{name}": one for name, one in counted.items()},
        "module": {"model": weights, "model_ema": counted},
    }
    torch.save(kept[content], tmp_path / "weights.pt")
    model = network()
    told = "; ".join(load(model, tmp_path / "weights.pt", weights=asked))
    expected = average if asked == "ema" else weights
    assert all(torch.equal(one, expected[name]) for name, one in model.state_dict().items())
    assert ("EMA weights" in told and "are taken" in told) if asked == "ema" else "raw weights" in told
    assert ("checkpoint.weights: ema takes these" in told) == (asked is None)


@pytest.mark.parametrize("wrapped", [AveragedModel, torch.nn.DataParallel])
def test_what_torch_itself_puts_before_names_is_removed(wrapped, weights, tmp_path):
    torch.save(wrapped(network(seed=7)).state_dict(), tmp_path / "weights.pt")
    assert loads(tmp_path / "weights.pt", weights)


def test_an_average_alone_is_taken_and_one_that_is_not_there_refused(weights, tmp_path):
    torch.save({"model_ema": weights}, tmp_path / "ema.pt")
    model = network()
    assert load(model, tmp_path / "ema.pt") == ["EMA weights (model_ema) are taken, the only ones there"]
    with pytest.raises(ArtifactError, match="holds EMA weights alone"):
        load(model, tmp_path / "ema.pt", weights="raw")
    torch.save({"model": weights}, tmp_path / "raw.pt")
    with pytest.raises(ArtifactError, match="holds no EMA weights"):
        load(model, tmp_path / "raw.pt", weights="ema")


def test_counts_of_libraries_are_left_out_and_told(weights, tmp_path):
    layers = {name.rpartition(".")[0] for name in weights}
    counts = {f"{layer}.{key}": torch.zeros(1) for layer in layers for key in ("total_ops", "total_params")}
    wrapped = {f"module.{name}": one for name, one in (weights | counts).items()}
    torch.save(wrapped | {"n_averaged": torch.tensor(7)}, tmp_path / "weights.pt")
    model = network()
    told = load(model, tmp_path / "weights.pt")
    assert all(torch.equal(one, weights[name]) for name, one in model.state_dict().items())
    assert any("module." in one for one in told)
    assert any("n_averaged (1)" in one and f"total_ops ({len(layers)})" in one for one in told)


def test_another_number_of_classes_starts_the_last_layer_anew_where_asked(weights, tmp_path):
    others = weights | {"classifier.weight": torch.ones(7, 8), "classifier.bias": torch.ones(7)}
    torch.save(others, tmp_path / "weights.pt")
    mend = "classifier, is of 7 classes and the data have 10: checkpoint.new_classifier: true"
    with pytest.raises(ArtifactError, match=mend):
        load(network(), tmp_path / "weights.pt")
    model, before = network(), network()
    assert "started anew: classifier" in load(model, tmp_path / "weights.pt", new_classifier=True)
    for name, one in model.state_dict().items():
        expected = before.state_dict() if name.startswith("classifier.") else weights
        assert torch.equal(one, expected[name]), name


def test_missing_statistics_start_anew_where_asked(weights, tmp_path):
    torch.save({name: one for name, one in weights.items() if "running" not in name}, tmp_path / "weights.pt")
    told = load(network(), tmp_path / "weights.pt", new_statistics=True)
    assert f"started anew: {sum('running' in name for name in weights)} running statistics" in told


def changed(weights, *gone, **more):
    return {name: one for name, one in weights.items() if name not in gone} | more


REASONS = {
    "masked": (
        lambda w: changed(
            w, "stem.0.weight", **{"stem.0.weight_orig": w["stem.0.weight"], "stem.0.weight_mask": w["stem.0.weight"]}
        ),
        r"1 are masked by torch\.nn\.utils\.prune \(stem\.0\.weight\): save after prune\.remove",
    ),
    "parametrized": (
        lambda w: changed(w, "stem.0.weight", **{"stem.0.parametrizations.weight.original": w["stem.0.weight"]}),
        r"parts of weights \(parametrizations: .*remove_parametrizations",
    ),
    "channels": (
        lambda w: changed(w, **{"stem.0.weight": w["stem.0.weight"].expand(-1, 3, -1, -1)}),
        r"the first layer, stem\.0, takes 3 channels and the images have 1",
    ),
    "more": (
        lambda w: changed(w, **{"criterion.weight": torch.ones(10)}),
        r"1 is unknown to the network \(criterion\.weight \(10,\)\): checkpoint\.rename: \{'\^criterion\\\.': null\}",
    ),
    "behind": (
        lambda w: {f"student.{name}": one for name, one in w.items()} | {"teacher.weight": torch.ones(3)},
        r"behind 'student\.', beside 1 other: checkpoint\.rename: \{'\^student\\\.': '', '\^teacher\\\.': null\}",
    ),
    "headless": (
        lambda w: changed(w, "classifier.weight", "classifier.bias"),
        r"the last layer, classifier, is missing: checkpoint\.new_classifier: true",
    ),
    "another network": (
        lambda w: {"conv1.weight": torch.ones(6, 3, 5, 5), "fc.weight": torch.ones(10, 84)},
        r"none fits, .*: it is of another network; set model",
    ),
    "two reasons": (
        lambda w: changed(
            {n: t for n, t in w.items() if "running" not in n}, **{"classifier.weight": torch.ones(7, 8)}
        ),
        r"running statistics.*new_statistics: true; the last layer, classifier, is of 7 classes",
    ),
}


@pytest.mark.parametrize(("change", "message"), REASONS.values(), ids=REASONS)
def test_every_misfit_has_its_own_reason_and_mend(change, message, weights, tmp_path):
    torch.save(change(weights), tmp_path / "weights.pt")
    with pytest.raises(ArtifactError, match=message) as raised:
        load(network(), tmp_path / "weights.pt")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        (("(", ""), r"'\(' to '' cannot be used"),
        (("^", r"\2"), "invalid group reference"),
        (("^nets", ""), r"'\^nets' is in no name of .*weights\.pt"),
        ((r"\.weight$|\.bias$", ""), "two tensors are named"),
        ((".", None), "leaves out every tensor"),
    ],
)
def test_a_change_of_names_that_cannot_be_is_refused(rename, message, weights, tmp_path):
    torch.save(weights, tmp_path / "weights.pt")
    with pytest.raises(Mistake, match=message):
        load(network(), tmp_path / "weights.pt", rename=[rename])


def test_one_name_with_and_without_a_wrapper_is_not_guessed(weights, tmp_path):
    name = next(iter(weights))
    torch.save(weights | {f"module.{name}": weights[name] + 1}, tmp_path / "weights.pt")
    with pytest.raises(ArtifactError, match=f"two tensors are named {name} "):
        load(network(), tmp_path / "weights.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one.index_fill(0, torch.tensor(0), torch.nan), "numbers that are not finite"),
        (lambda one: one.double() * 1e300, "numbers that are not finite in fp32"),
        (lambda one: (one * 100).to(torch.int8), r"is int8 and not float32; save the numbers, or .*\.int8 beside"),
        (lambda one: one.to(torch.complex64), "is complex64 and not float32"),
        (lambda one: one.to_sparse(), "is sparse, quantized or without numbers"),
        (lambda one: one.to("meta"), "is sparse, quantized or without numbers"),
    ],
    ids=["nan", "overflow", "integers", "complex", "sparse", "meta"],
)
def test_numbers_that_are_no_weights_are_refused_and_nothing_is_loaded(change, message, weights, tmp_path):
    name = [name for name, one in weights.items() if one.ndim == 4][-1]
    torch.save(weights | {name: change(weights[name])}, tmp_path / "weights.pt")
    model = network()
    before = {name: one.clone() for name, one in model.state_dict().items()}
    with pytest.raises(ArtifactError, match=f"{name} (has )?{message}"):
        load(model, tmp_path / "weights.pt")
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


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


@pytest.mark.parametrize("zipped", [True, False])
def test_what_a_script_kept_beside_the_weights_is_named_without_torchs_advice_to_run_it(zipped, weights, tmp_path):
    kept = {"state_dict": weights, "date": datetime.date(2024, 1, 5)}
    torch.save(kept, tmp_path / "weights.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ArtifactError, match=r"also holds a datetime\.date; save model\.state_dict") as error:
        load(network(), tmp_path / "weights.pt")
    assert "weights_only" not in str(error.value)


@pytest.mark.parametrize("kind", ["safetensors", "zip", "older"])
def test_damaged_files_are_one_error_or_the_network_whatever_the_damage(kind, weights, tmp_path):
    path = tmp_path / "weights"
    if kind == "safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=kind == "zip")
    content, draw, refused, model = path.read_bytes(), random.Random(0), 0, network()
    for _ in range(200):
        damaged = bytearray(content[: draw.randrange(len(content))] if draw.random() < 0.3 else content)
        for _ in range(draw.randrange(1, 4) if damaged else 0):
            # Most damage to numbers is none to the file: half of it goes where its structure is.
            place = draw.randrange(min(600, len(damaged)) if draw.random() < 0.5 else len(damaged))
            damaged[place] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            load(model, path)
        except Mistake as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 60
    assert all(one.isfinite().all() for one in model.state_dict().values())


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


def test_the_plan_takes_a_file_that_is_there_and_one_start(weights, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(weights, path)
    (tmp_path / "own.yaml").write_text(f"{STUDY}train: {{epochs: 0}}\ncheckpoint: {path}\n")
    (run,) = build([str(tmp_path / "own.yaml")], tmp_path).runs["train"].values()
    assert f'checkpoint="{path}"' in run.words
    assert "pretrained starts from other weights" in problems(tmp_path, f"pretrained: true\ncheckpoint: {path}\n")


@pytest.fixture
def start(weights, tmp_path):
    """The words of a run that starts from a file of weights."""
    save_file(weights, tmp_path / "weights.safetensors")
    return [f"model={json.dumps(MODEL)}", f"checkpoint={tmp_path}/weights.safetensors"]


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def untrained(folder, digits, weights, *words):
    """Validation scores of a run of no epochs, which has written what it must and nothing else."""
    done = run("train", folder, "--data", digits, *words, "train.epochs=0")
    assert done.returncode == 0, done.stderr
    made = artifact.load(folder).model.state_dict()
    assert all(torch.equal(one, weights[name]) for name, one in made.items())
    (row,) = rows(folder / "metrics.csv")
    assert (row["epochs"], row["best_epoch"], row["train_loss"], row["images_per_s"]) == ("0", "0", "", "")
    assert (folder / "history.csv").read_text() == ",".join(HISTORY) + "\n"
    record, start = json.loads((folder / "run.json").read_text()), folder.parent / "weights.safetensors"
    assert record["read"] == {str(start): checksum(start)}
    assert record["spec"]["checkpoint"] == str(start)
    assert not (folder / "checkpoint").exists()
    return [float(row[f"validation_{name}"]) for name in ("loss", "top1", "top5")]


def test_with_no_epochs_the_weights_are_scored_and_passed_on_as_they_are(weights, start, digits, tmp_path):
    scored = untrained(tmp_path / "one-00000000bb", digits, weights, *start)
    expected = score(network(seed=7), Resident.load(digits).batches("validation", 50))
    assert scored == pytest.approx([expected["loss"], expected["top1"], expected["top5"]])


@pytest.mark.slow
def test_with_no_epochs_two_processes_score_as_one(weights, start, digits, tmp_path):
    one = untrained(tmp_path / "one-00000000bb", digits, weights, *start)
    two = untrained(tmp_path / "two-00000000bc", digits, weights, *start, "train.processes=2")
    assert one == pytest.approx(two)


def test_weights_with_which_nothing_can_be_computed_make_no_artifact(weights, start, digits, tmp_path):
    name = next(name for name in weights if name.endswith("running_var"))
    save_file(weights | {name: -weights[name]}, tmp_path / "weights.safetensors")
    folder = tmp_path / "resnet-00000000bb"
    done = run("train", folder, "--data", digits, *start, "train.epochs=0")
    assert done.returncode == 2
    assert "weights.safetensors: the validation loss with these weights is nan" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(folder.glob("*.csv")) + list(folder.glob("model.*")) + list(folder.glob("run.json"))


@pytest.mark.slow
def test_interrupted_a_run_goes_on_with_the_same_bits_and_never_from_other_weights(weights, start, digits, tmp_path):
    whole, cut = tmp_path / "whole-00000000b0", tmp_path / "cut-00000000b0"
    words = ["--data", digits, *start, "train.epochs=6", "train.batch_size=32"]
    assert run("train", whole, *words).returncode == 0
    often = script("train", cut, *words, "--checkpoint-minutes", 0.0005)
    assert interrupt(often, cut, signal.SIGTERM, saves=1, seconds=0, env=preloaded()) == 75
    path = tmp_path / "weights.safetensors"
    kept = path.read_bytes()
    save_file(network(seed=8).state_dict(), path)
    done = run("train", cut, *words)
    assert done.returncode == 2
    assert f"belongs to another run: {path} is" in done.stderr
    path.write_bytes(kept)
    done = run("train", cut, *words)
    assert done.returncode == 0, done.stderr
    assert json.loads((cut / "run.json").read_text())["resumed"] == 1
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_trained_on_from_a_checkpoint_the_first_epoch_is_better_than_from_nothing(digits, tmp_path):
    words = ["--data", digits, f"model={json.dumps(MODEL)}"]
    assert run("train", tmp_path / "first-00000000b0", *words, "train.epochs=4").returncode == 0
    start = tmp_path / "first-00000000b0" / "model.safetensors"
    second = tmp_path / "second-00000000b1"
    assert run("train", second, *words, "train.epochs=1", f"checkpoint={start}").returncode == 0
    first_loss = [float(rows(folder / "history.csv")[0]["train_loss"]) for folder in (second, start.parent)]
    assert first_loss[0] < first_loss[1]
