"""The quantize stage as it is run: its grid, the setting that is kept, its interruptions, and its scores on test."""

import json
import signal
import subprocess

import pytest
import torch

from espalier.data.resident import Resident
from espalier.errors import ArtifactError
from espalier.metrics.accuracy import score
from espalier.metrics.cost import weighted
from espalier.networks import artifact
from espalier.quantization.calibration_images import calibration_batches
from espalier.quantization.cells import Cells
from espalier.quantization.rows_of_widths import grid
from espalier.quantization.schemes import calibrated, naive
from espalier.quantization.width_grid import EVALUATION_BATCH
from support.digits_runs import made
from support.scripts_as_run import interrupt, interrupted_to_the_end, preloaded, script, table

PARENT = ["model={name: resnet, blocks: [1, 1], channels: [8, 16]}", "augment=[pad_crop]", "train.epochs=6", "seed=1"]
WIDTHS = ["quantize.weight_bits=[8, 3]", "quantize.activation_bits=[32, 4]", "seed=1"]
KEPT = "quantize.keep={weight_bits: 3, activation_bits: 4}"
AWARE = ["quantize={weight_bits: [2], activation_bits: [4], fine_tune: {epochs: 4, batch_size: 32}}", "seed=1"]


@pytest.fixture(scope="module")
def parent(digits, tmp_path_factory):
    return made(tmp_path_factory.mktemp("parent") / "resnet-00000000bb", digits, *PARENT)


def quantize(folder, parent, digits, *words, minutes=10):
    return script("quantize", folder, "--parents", parent, "--data", digits, "--checkpoint-minutes", minutes, *words)


def quantized(folder, parent, digits, *words):
    made(folder, digits, *words, stage="quantize", parents=(parent,))
    return artifact.load(folder), table(folder / "metrics.csv")[0]


@pytest.fixture(scope="module")
def kept(parent, digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantize") / "resnet-00000000cc"
    quantized(folder, parent, digits, *WIDTHS, KEPT)
    return folder


@pytest.mark.parametrize("scheme", ["calibrated", "naive"])
def test_the_grid_is_what_the_library_says_of_each_setting(scheme, parent, digits, tmp_path):
    folder = tmp_path / "resnet-00000000c0"
    _, row = quantized(folder, parent, digits, *WIDTHS, KEPT, f"quantize.scheme={scheme}")
    data = Resident.load(digits)
    model = artifact.load(parent).model.to(memory_format=torch.channels_last)
    batches = calibration_batches(data, 1024, 1)
    assert sum(map(len, batches)) == min(1024, data.size("train"))
    wanted = grid(
        model,
        [8, 3],
        [32, 4],
        {"calibrated": calibrated(), "naive": naive()}[scheme],
        batches,
        lambda model: score(model, data.batches("validation", EVALUATION_BATCH)),
    )
    found = table(folder / "grid.csv")
    assert [(int(r["weight_bits"]), int(r["activation_bits"])) for r in found] == [(8, 32), (8, 4), (3, 32), (3, 4)]
    for one, other in zip(found, wanted, strict=True):
        assert float(one["validation_top1"]) == pytest.approx(other["top1"])
        assert float(one["validation_loss"]) == pytest.approx(other["loss"], rel=1e-5)
    assert [r["kept"] for r in found] == ["0", "0", "0", "1"]
    assert row["validation_loss"] == found[3]["validation_loss"], "the network kept scores what its setting scored"
    assert (row["weight_bits"], row["activation_bits"], row["epochs"]) == ("3", "4", "0")
    share = float(found[1]["activation_mib"]) / float(found[0]["activation_mib"])
    assert share == 1 / 8 if scheme == "naive" else 1 / 8 < share < 1 / 4, "the first layer has at least 8 bits"


def test_the_artifact_is_the_network_on_its_levels(kept, parent, digits):
    network = artifact.load(kept)
    assert network.quantization.weights.keys() == weighted(network.model).keys()
    for path, layer in weighted(network.model).items():
        levels = network.quantization.weights[path].levels
        assert levels.abs().max() <= (127 if path == network.model.facts.first else 3)
        assert torch.equal(layer.weight, network.quantization.weights[path].dequantize())
    floats = artifact.load(parent).model
    assert all(
        not torch.equal(layer.weight, weighted(floats)[path].weight) for path, layer in weighted(network.model).items()
    )
    again = score(network.model, Resident.load(digits).batches("validation", EVALUATION_BATCH))
    assert again["top1"] == pytest.approx(float(table(kept / "metrics.csv")[0]["validation_top1"]))


def test_every_setting_is_scored_on_test_by_evaluation_alone(kept, parent, digits, tmp_path):
    folder = tmp_path / "resnet-00000000c1"
    made(folder, digits, stage="evaluate", parents=(parent, kept))
    rows = table(folder / "scores.csv")
    named = [(r["stage"], r["weight_bits"], r["activation_bits"], r["kept"]) for r in rows]
    settings = [("8", "32", "0"), ("8", "4", "0"), ("3", "32", "0"), ("3", "4", "1")]
    assert named == [("train", "32", "32", "1"), *(("quantize", *each) for each in settings)]
    assert len({r["test_loss"] for r in rows}) == 5
    (end,) = table(folder / "metrics.csv")
    assert end["test_loss"] == rows[-1]["test_loss"]
    # The test split of the same data, through the settings as they are made anew.
    data = Resident.load(digits, splits=("train", "test"))
    model = artifact.load(parent).model.to(memory_format=torch.channels_last)
    batches = calibration_batches(data, 1024, 1)
    wanted = grid(model, [8, 3], [32, 4], calibrated(), batches, lambda m: score(m, data.batches("test", 256)))
    for one, other in zip(rows[1:], wanted, strict=True):
        assert float(one["test_top1"]) == pytest.approx(other["top1"])


def test_fine_tuning_with_the_levels_in_sight_ends_on_levels(parent, digits, tmp_path):
    network, row = quantized(tmp_path / "resnet-00000000c2", parent, digits, *AWARE)
    plain, before = quantized(
        tmp_path / "resnet-00000000c3",
        parent,
        digits,
        "quantize={weight_bits: [2], activation_bits: [4], scheme: {name: calibrated, rounding: nearest}}",
        "seed=1",
    )
    assert float(row["validation_loss"]) < float(before["validation_loss"])
    assert (row["epochs"], before["epochs"]) == ("4", "0")
    history = table(tmp_path / "resnet-00000000c2" / "history.csv")
    chosen = history[int(row["best_epoch"]) - 1]
    assert float(row["validation_top1"]) == pytest.approx(float(chosen["validation_top1"]), abs=0.5)
    for one in (network, plain):
        first = one.model.facts.first
        assert all(each.levels.abs().max() <= 1 for path, each in one.quantization.weights.items() if path != first)
    assert network.quantization.activations.keys() == weighted(network.model).keys()


BYTES = ["quantize={activation_bits: [8], scheme: {name: rate_distortion, bytes: 2500}}", "seed=1"]


def test_a_file_of_so_many_bytes_is_had_by_a_price(parent, digits, tmp_path):
    folder = tmp_path / "resnet-00000000c4"
    network, row = quantized(folder, parent, digits, *BYTES)
    smallest = ["encode={fold: true, floats: fp16, shrink: true}"]
    coded = made(tmp_path / "resnet-00000000c5", digits, *smallest, stage="encode", parents=(parent, folder))
    size = int(table(coded / "metrics.csv")[0]["file_bytes"])
    assert 0.93 * 2500 < size <= 2500
    assert float(row["price"]) > 0
    assert float(table(coded / "metrics.csv")[0]["validation_top1"]) == pytest.approx(
        float(row["validation_top1"]), abs=1.0
    )
    zeros = sum(int((each.levels == 0).sum()) for each in network.quantization.weights.values())
    assert zeros > 100, "weights that are not worth their bits have become zero"


def test_a_drop_is_kept_to_on_validation_and_fine_tuning_keeps_the_zeros(parent, digits, tmp_path):
    asked = "quantize={{weight_bits: [8], activation_bits: [32], scheme: {{name: rate_distortion, {}}}}}"
    tuned = "quantize.fine_tune={epochs: 2, batch_size: 32, optimizer: {name: sgd, lr: 0.001}}"
    folder = tmp_path / "resnet-00000000c7"
    after, found = quantized(folder, parent, digits, asked.format("drop: 2.0"), tuned, "seed=1")
    assert found["epochs"] == "2"
    # At the price that was found, which need not be looked for again.
    price = asked.format(f"price: {float(found['price'])!r}")
    network, row = quantized(tmp_path / "resnet-00000000c6", parent, digits, price, "seed=1")
    before = float(table(parent / "metrics.csv")[0]["validation_top1"])
    assert before - 2.0 - 1e-6 <= float(row["validation_top1"])
    for path, each in network.quantization.weights.items():
        assert not after.quantization.weights[path].levels[each.levels == 0].any()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(BYTES, marks=pytest.mark.slow, id="price"),
        pytest.param(AWARE, marks=pytest.mark.slow, id="fine-tuned"),
        pytest.param([*WIDTHS, "quantize.activation_bits=[32, 8, 6, 5, 4, 3]"], marks=pytest.mark.slow, id="grid"),
    ],
)
def test_killed_again_and_again_it_ends_with_the_same_bits(words, parent, digits, tmp_path):
    whole, cut = tmp_path / "whole-00000000d1", tmp_path / "cut-00000000d1"
    done = subprocess.run(
        quantize(whole, parent, digits, *words, minutes=0.001), env=preloaded(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    kills = interrupted_to_the_end(quantize(cut, parent, digits, *words, minutes=0.0001), cut, most=3)
    assert kills >= 1
    for name in ("model.safetensors", "model.json", "levels.safetensors", "cells.safetensors", "grid.csv"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
    assert json.loads((cut / "run.json").read_text())["resumed"] >= 1
    assert not (cut / "checkpoint").exists()


def test_asked_to_stop_it_saves_the_settings_done(parent, digits, tmp_path):
    folder = tmp_path / "resnet-00000000d2"
    folder.mkdir()
    command = quantize(folder, parent, digits, *WIDTHS, "quantize.activation_bits=[32, 8, 6, 5, 4, 3]", minutes=0.0001)
    assert interrupt(command, folder, signal.SIGTERM, 1, 0) == 75
    assert not (folder / "metrics.csv").exists()
    done = subprocess.run(command, env=preloaded(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "resumed after" in done.stderr


def test_no_cells_are_written_but_those_of_the_grid(kept):
    cells = list(Cells.read(kept / "cells.safetensors"))
    assert [(cell.weight_bits, cell.activation_bits) for cell in cells] == [(8, 32), (8, 4), (3, 32), (3, 4)]
    assert cells[0].quantization.weights is cells[1].quantization.weights, "settings of one width share their levels"
    assert not cells[0].quantization.activations
    assert cells[3].quantization.activations.keys() == cells[3].quantization.weights.keys()


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ([*WIDTHS, "quantize.keep={weight_bits: 4, activation_bits: 4}"], "quantize.keep.weight_bits: 4 is not in"),
        ([*WIDTHS, "quantize.fine_tune={}"], "quantize.fine_tune: it trains one setting"),
        (["quantize={scheme: naive, fine_tune: {}}"], "quantize.fine_tune: activations of naive have no step"),
        (["quantize={fine_tune: {processes: 2}}"], "quantize.fine_tune.processes"),
        (["quantize.scheme={name: calibrated, symmetric_weights: false}"], "compensated rounding needs symmetric"),
        (["seed=1"], "quantize: nothing is asked for; set quantize"),
        (["quantize.scheme=rate_distortion"], "quantize.scheme: rate_distortion follows one of price, bytes and drop"),
        (["quantize.scheme={name: rate_distortion, price: 1e-3, drop: 1.0}"], "and price and drop is given"),
        (
            ["quantize.scheme={name: rate_distortion, bytes: 500}"],
            "quantize.scheme.bytes: no price makes a file of 500",
        ),
        (["quantize.weight_bits=[17]"], "quantize.weight_bits"),
        (["quantize.weight_bits=[8, 8]"], "quantize.weight_bits: a value is named twice"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(words, key, parent, digits, tmp_path):
    folder = tmp_path / "resnet-00000000d3"
    done = subprocess.run(
        quantize(folder, parent, digits, *words), env=preloaded(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert key in done.stderr
    assert not (folder / "metrics.csv").exists()


@pytest.mark.parametrize("damage", ["cut", "other", "missing"])
def test_levels_that_are_not_the_weights_are_refused(damage, kept, parent, tmp_path):
    folder = tmp_path / "resnet-00000000d4"
    folder.mkdir()
    # Without the record, which would tell of any other byte.
    for file in kept.iterdir():
        if file.is_file() and file.name != "run.json":
            (folder / file.name).write_bytes(file.read_bytes())
    if damage == "cut":
        (folder / "levels.safetensors").write_bytes((kept / "levels.safetensors").read_bytes()[:-100])
    elif damage == "missing":
        (folder / "levels.safetensors").unlink()
    else:
        (folder / "model.safetensors").write_bytes((parent / "model.safetensors").read_bytes())
    with pytest.raises(ArtifactError, match=r"levels\.safetensors"):
        artifact.load(folder)
