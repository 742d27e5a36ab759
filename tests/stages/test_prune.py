"""The prune stage as it is run: each way of pruning, its rows, its interruptions."""

import json
import subprocess

import pytest
import torch

from espalier.networks import artifact
from espalier.pruning.masks import rows as layer_sparsity
from espalier.runs import record as records
from support.digits_runs import made
from support.scripts_as_run import interrupted_to_the_end, preloaded, run, script, table

PARENT = ["model={name: resnet, blocks: [1, 1], channels: [8, 16]}", "augment=[pad_crop]", "train.epochs=4", "seed=1"]
TUNED = ["fine_tune.epochs=2", "fine_tune.batch_size=32", "augment=[pad_crop]", "seed=1"]
ITERATIVE = ["prune={name: iterative, ratio: 0.3, rounds: 4, max_drop: 30}", *TUNED]


@pytest.fixture(scope="module")
def parent(digits, tmp_path_factory):
    return made(tmp_path_factory.mktemp("parent") / "resnet-00000000bb", digits, *PARENT)


def prune(folder, parent, digits, *words):
    return script("prune", folder, "--parents", parent, "--data", digits, "--checkpoint-minutes", 0.001, *words)


def pruned(folder, parent, digits, *words):
    made(folder, digits, *words, stage="prune", parents=(parent,))
    return artifact.load(folder).model, metrics(folder)


def metrics(folder):
    (row,) = table(folder / "metrics.csv")
    return {key: float(value) for key, value in row.items() if key not in ("run", "parent") and value}


def zeros(model):
    return sum(row.weights - row.nonzeros for row in layer_sparsity(model))


@pytest.mark.parametrize(
    ("control", "scope"),
    [
        *((None, "layer, allocation: sensitivity"), (None, "global"), ("random", "global"), ("scratch", "layer")),
        pytest.param("random", "layer", marks=pytest.mark.slow),
        pytest.param("scratch", "global", marks=pytest.mark.slow),
    ],
)
def test_zeroed_weights_are_zero_at_the_end(control, scope, parent, digits, tmp_path):
    words = [f"prune={{name: magnitude, ratio: 0.7, scope: {scope}}}", *TUNED]
    words += [f"control={control}"] if control else []
    model, row = pruned(tmp_path / "run-00000000c0", parent, digits, *words)
    total = sum(layer.weights for layer in layer_sparsity(model))
    assert zeros(model) / total == pytest.approx(0.7, abs=0.02)
    assert row["sparsity"] == pytest.approx(100 * zeros(model) / total)
    assert row["nonzeros"] == sum(int(p.count_nonzero()) for p in model.parameters())
    assert row["epochs"] == (6 if control == "scratch" else 2)
    written = table(tmp_path / "run-00000000c0" / "layers.csv")
    assert sum(int(layer["weights"]) - int(layer["nonzeros"]) for layer in written) == zeros(model)


@pytest.mark.parametrize(
    "control", [None, *(pytest.param(each, marks=pytest.mark.slow) for each in ("random", "scratch"))]
)
def test_removed_channels_are_gone(control, parent, digits, tmp_path):
    words = ["prune={name: structured, ratio: 0.5}", *TUNED, *([f"control={control}"] if control else [])]
    folder = tmp_path / "run-00000000c1"
    model, row = pruned(folder, parent, digits, *words)
    before = artifact.load(parent).model
    assert row["params"] == sum(p.numel() for p in model.parameters()) < sum(p.numel() for p in before.parameters()) / 2
    assert row["params_left"] == pytest.approx(100 * row["params"] / sum(p.numel() for p in before.parameters()))
    assert row["macs_left"] < 40
    assert row["file_bytes"] == (folder / "model.safetensors").stat().st_size
    assert 0 < row["latency_1_ms"] <= row["latency_64_ms"]
    made(tmp_path / "test-00000000c2", digits, stage="evaluate", parents=(folder,))


def test_two_phases(parent, digits, tmp_path):
    _, row = pruned(tmp_path / "run-00000000c3", parent, digits, "prune=two_phase", *TUNED)
    assert row["params_left"] < 50
    assert row["sparsity"] < 1, "zeros of the first phase may grow again"


def test_a_growing_ratio_is_reached_before_an_epoch_can_be_the_best(parent, digits, tmp_path):
    words = ["prune={name: gradual, ratio: 0.8, end: 0.5, every: 5}", *TUNED, "fine_tune.epochs=4"]
    _, row = pruned(tmp_path / "run-00000000c4", parent, digits, *words)
    assert row["sparsity"] == pytest.approx(80, abs=2)
    assert row["best_epoch"] >= 2


def test_rounds_go_on_to_the_floor_and_the_last_good_network_is_kept(parent, digits, tmp_path):
    folder = tmp_path / "run-00000000c5"
    words = ["prune={name: iterative, ratio: 0.5, rounds: 12, max_drop: 5}", *TUNED, "fine_tune.epochs=1"]
    _, row = pruned(folder, parent, digits, *words)
    rounds = table(folder / "rounds.csv")
    assert [int(r["kept"]) for r in rounds] == [1] * (len(rounds) - 1) + [0], "the last round crosses the floor"
    (before,) = table(parent / "metrics.csv")
    floor = float(before["validation_top1"]) - 5
    assert all(float(r["validation_top1"]) >= floor for r in rounds[:-1])
    assert float(rounds[-1]["validation_top1"]) < floor
    assert row["rounds"] == len(rounds) - 1
    assert row["sparsity"] == pytest.approx(float(rounds[-2]["sparsity"]))
    assert row["validation_top1"] == pytest.approx(float(rounds[-2]["validation_top1"]))
    assert row["nonzeros"] == int(rounds[-2]["nonzeros"])
    assert [int(r["epoch"]) for r in table(folder / "history.csv")] == list(range(1, len(rounds) + 1))


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(ITERATIVE, marks=pytest.mark.slow, id="iterative"),
        pytest.param(
            ["prune={name: structured, ratio: 0.4}", *TUNED, "fine_tune.epochs=8"],
            marks=pytest.mark.slow,
            id="structured",
        ),
    ],
)
def test_killed_again_and_again_a_pruning_ends_with_the_same_bits(words, parent, digits, tmp_path):
    whole, cut = tmp_path / "whole-00000000d1", tmp_path / "cut-00000000d1"
    done = subprocess.run(prune(whole, parent, digits, *words), env=preloaded(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    kills = interrupted_to_the_end(prune(cut, parent, digits, *words), cut, most=4)
    assert kills >= 2
    for name in ("model.safetensors", "model.json", "layers.csv", "rounds.csv"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
    assert timeless(cut) == timeless(whole)
    assert json.loads((cut / "run.json").read_text())["resumed"] >= 1
    assert not (cut / "checkpoint").exists()


def timeless(folder):
    rows = table(folder / "history.csv")
    return [{k: v for k, v in row.items() if k not in ("images_per_s", "epoch_s")} for row in rows]


def test_without_fine_tuning_the_network_is_only_cut(parent, digits, tmp_path):
    words = ["prune={name: magnitude, ratio: 0.2}", "fine_tune.epochs=0"]
    model, row = pruned(tmp_path / "run-00000000c6", parent, digits, *words)
    before = artifact.load(parent).model.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor[tensor != 0], before[name][tensor != 0]), name
    assert row["epochs"] == 0
    assert row["sparsity"] == pytest.approx(20, abs=1)


def test_a_pruned_network_is_pruned_again_and_keeps_its_zeros(parent, digits, tmp_path):
    first, second = tmp_path / "run-00000000c7", tmp_path / "run-00000000c8"
    sparse, _ = pruned(first, parent, digits, "prune={name: magnitude, ratio: 0.6}", *TUNED)
    model, row = pruned(second, first, digits, "prune={name: magnitude, ratio: 0.8}", *TUNED)
    assert row["sparsity"] == pytest.approx(80, abs=1)
    for name, tensor in sparse.state_dict().items():
        if tensor.dim() > 1:
            assert not model.state_dict()[name][tensor == 0].any()


def test_a_layer_pruned_to_nothing_is_told_in_one_line(parent, digits, tmp_path):
    folder = tmp_path / "run-00000000c9"
    done = run("prune", folder, "--parents", parent, "--data", digits, "prune={name: structured, ratio: 0.95}")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "prune: nothing is asked for; set prune"),
        (["prune={name: magnitude, ratio: 0.0001}"], "sets no weight to zero"),
        (["prune=gradual", "fine_tune.epochs=0"], "prunes while it trains"),
        (["prune=iterative", "control=scratch"], "a size known before training"),
    ],
)
def test_what_would_prune_nothing_or_cannot_is_told_in_one_line(words, message, parent, digits, tmp_path):
    done = run("prune", tmp_path / "run-00000000ca", "--parents", parent, "--data", digits, *words)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr


def test_a_control_from_scratch_needs_a_parent_that_was_trained(parent, digits, tmp_path):
    first, second = tmp_path / "run-00000000cb", tmp_path / "run-00000000cc"
    pruned(first, parent, digits, "prune=magnitude", "fine_tune.epochs=0")
    done = run("prune", second, "--parents", first, "--data", digits, "prune=structured", "control=scratch")
    assert done.returncode == 2
    assert "training from scratch follows train" in done.stderr


def test_a_control_from_scratch_of_a_parent_with_other_weights_is_told_its_epochs(digits, tmp_path):
    parent = tmp_path / "resnet-00000000ce"
    parent.mkdir()
    spec = {"model": {"name": "resnet"}, "checkpoint": "mine.pt", "train": {"epochs": 2}}
    records.write(parent, {"run": "00000000ce", "stage": "train", "outcome": "done", "spec": spec}, [], {})
    words = ["--parents", parent, "--data", digits, "prune=magnitude", "control=scratch", "fine_tune.epochs=1"]
    done = run("prune", tmp_path / "run-00000000cf", *words)
    assert done.returncode == 2
    assert "control: scratch would be trained for 3 epochs" in done.stderr and "set control_epochs" in done.stderr
    done = run("prune", tmp_path / "run-00000000cf", *words, "control_epochs=40")
    assert "resnet-00000000ce/model.json" in done.stderr, "it goes on, and finds no network here"


def test_rounds_end_when_nothing_more_can_go(parent, digits, tmp_path):
    folder = tmp_path / "run-00000000cd"
    words = ["prune={name: iterative, ratio: 0.9, rounds: 9, max_drop: null, layer_floor: 0.5}", "fine_tune.epochs=0"]
    pruned(folder, parent, digits, *words)
    assert len(table(folder / "rounds.csv")) == 2
