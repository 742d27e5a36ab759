"""The encode stage as it is run, on the digits: its file, its tables, and the command that decodes a file."""

import json
import runpy
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from espalier.coding.decoder import decode
from espalier.data.resident import Resident
from espalier.metrics.accuracy import score
from espalier.networks import artifact
from espalier.quantization.qparams import Quantized
from support.digits_runs import made as run_of
from support.scripts_as_run import run, table

MODEL = ["model={name: resnet, blocks: [1, 1], channels: [8, 16]}", "augment=[pad_crop]", "train.epochs=4", "seed=1"]
PRUNE = ["prune={name: structured, ratio: 0.3}", "fine_tune.epochs=1", "seed=1"]
QUANTIZE = ["quantize={weight_bits: [4], activation_bits: [6]}", "seed=1"]


@pytest.fixture(scope="module")
def chain(digits, tmp_path_factory):
    """Data, and the folders of a network trained, pruned and quantized."""
    root = tmp_path_factory.mktemp("chain")
    folders = [root / f"resnet-00000000b{number}" for number in range(3)]
    run_of(folders[0], digits, *MODEL)
    run_of(folders[1], digits, *PRUNE, stage="prune", parents=(folders[0],))
    run_of(folders[2], digits, *QUANTIZE, stage="quantize", parents=(folders[1],))
    return digits, *folders


def decode_command(*words):
    """The command, where there is no torch."""
    program = "import runpy, sys; sys.modules['torch'] = None; runpy.run_module('espalier', run_name='__main__')"
    command = [sys.executable, "-c", program, "decode", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def encoded(chain, folder, *words, parent=3):
    run_of(folder, chain[0], *words, stage="encode", parents=chain[1 : parent + 1])
    return table(folder / "metrics.csv")[0]


@pytest.fixture(scope="module")
def made(chain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encode") / "resnet-00000000c0"
    return folder, encoded(chain, folder, "encode={}")


def test_the_file_holds_the_network_and_scores_as_its_parent(chain, made):
    data, _, _, parent = chain
    folder, row = made
    before = table(parent / "metrics.csv")[0]
    assert (row["run"], row["parent"]) == ("00000000c0", "00000000b2")
    assert (row["validation_top1"], row["validation_top5"]) == (before["validation_top1"], before["validation_top5"])
    assert float(row["validation_loss"]) == pytest.approx(float(before["validation_loss"]), rel=1e-6)
    assert (row["params"], row["nonzeros"]) == (before["params"], before["nonzeros"])
    network, wanted = artifact.load(folder), artifact.load(parent)
    again = score(network.model, Resident.load(data).batches("validation", 256))
    assert again["top1"] == pytest.approx(float(row["validation_top1"]))
    images = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(network.model(images), wanted.model(images))
    assert json.loads((folder / "run.json").read_text())["stage"] == "encode"


def test_every_figure_is_counted_from_files(chain, made):
    folder, row = made
    size = (folder / "model.esp").stat().st_size
    dense = (chain[1] / "model.safetensors").stat().st_size
    assert (int(row["file_bytes"]), int(row["dense_bytes"])) == (size, dense)
    assert float(row["compression"]) == pytest.approx(dense / size)
    parts = table(folder / "anatomy.csv")
    assert sum(int(part["bytes"]) for part in parts) == size
    levels = sum(int(part["bytes"]) for part in parts if part["purpose"] in ("weights", "indices"))
    bound = sum(float(part["bound_bytes"] or 0) for part in parts)
    assert int(row["level_bytes"]) == levels
    assert float(row["bound_bytes"]) == pytest.approx(bound)
    weights = sum(one.levels.numel() for one in decode(folder / "model.esp").tensors.values() if _levels(one))
    assert float(row["bits_per_weight"]) == pytest.approx(8 * levels / weights)
    assert 2 < float(row["bits_per_weight"]) < 5
    rungs = {rung["method"]: rung for rung in table(folder / "ladder.csv")}
    assert int(rungs["espalier"]["level_bytes"]) == levels
    assert float(rungs["order-0 entropy"]["level_bytes"]) == pytest.approx(bound)
    conditional = sum(float(part["conditional_bytes"] or 0) for part in parts)
    assert float(rungs["entropy given row and column"]["level_bytes"]) == pytest.approx(conditional)
    assert 0 < conditional < bound
    assert int(rungs["dense fp32"]["level_bytes"]) == 4 * weights


def _levels(tensor):
    return isinstance(tensor, Quantized)


def test_equal_runs_give_equal_bytes(chain, made, tmp_path):
    encoded(chain, tmp_path / "again-00000000c0", "encode={}")
    for name in ("model.esp", "anatomy.csv", "ladder.csv"):
        assert (tmp_path / "again-00000000c0" / name).read_bytes() == (made[0] / name).read_bytes()


def test_folded_and_rounded_it_is_smaller_and_scores_alike(chain, made, tmp_path):
    row = encoded(chain, tmp_path / "resnet-00000000c1", "encode.fold=true", "encode.floats=fp16")
    assert int(row["file_bytes"]) < int(made[1]["file_bytes"])
    assert float(row["validation_top1"]) == pytest.approx(float(made[1]["validation_top1"]), abs=2)
    assert row["level_bytes"] == made[1]["level_bytes"]


def test_only_the_codecs_asked_for_are_used(chain, made, tmp_path):
    folder = tmp_path / "resnet-00000000c2"
    row = encoded(chain, folder, "encode.codecs=[dense]")
    assert {part["codec"] for part in table(folder / "anatomy.csv") if part["bound_bytes"]} == {"dense"}
    assert row["validation_top1"] == made[1]["validation_top1"]
    # The ladder is of the same levels, and tries all codecs.
    ladders = [(path / "ladder.csv").read_text() for path in (folder, made[0])]
    assert ladders[0] == ladders[1]
    assert int(row["level_bytes"]) > int(made[1]["level_bytes"])


@pytest.mark.parametrize("parent", [1, 2])
def test_a_network_of_floats_is_coded(chain, tmp_path, parent):
    row = encoded(chain, tmp_path / "resnet-00000000c3", "encode={}", parent=parent)
    assert (row["level_bytes"], row["bits_per_weight"]) == ("0", "")
    assert float(row["bound_bytes"]) == 0
    assert row["validation_top1"] == table(chain[parent] / "metrics.csv")[0]["validation_top1"]
    assert float(row["compression"]) > 1


def test_evaluation_scores_the_decoded_file(chain, made, tmp_path):
    folder = tmp_path / "resnet-00000000d0"
    run_of(folder, chain[0], stage="evaluate", parents=(*chain[1:], made[0]))
    rows = table(folder / "scores.csv")
    assert [row["stage"] for row in rows] == ["train", "prune", "quantize", "encode"]
    assert rows[3]["test_top1"] == rows[2]["test_top1"]
    assert (rows[3]["weight_bits"], rows[3]["activation_bits"]) == ("4", "6")


def test_what_cannot_be_coded_is_told_in_one_line_and_leaves_nothing(chain, tmp_path):
    data, original, _, parent = chain
    folder = tmp_path / "resnet-00000000e0"
    words = ("encode", folder, "--parents")
    for found, said in (
        (run(*words, original, parent, "--data", data), "encode: nothing is asked for; set encode"),
        (run(*words, tmp_path, parent, "--data", data, "encode={}"), "run.json: does not exist"),
        (run(*words, original, parent, "--data", data, "encode.floats=fp8"), "encode.floats"),
    ):
        assert found.returncode == 2
        assert said in found.stderr
        assert "Traceback" not in found.stderr
        assert not [path for path in folder.rglob("*") if path.suffix in (".esp", ".csv")]


def test_the_decode_command_writes_plain_weights(chain, made, tmp_path):
    found = decode_command(made[0] / "model.esp", tmp_path / "plain.safetensors")
    assert found.returncode == 0, found.stderr
    weights, wanted = load_file(tmp_path / "plain.safetensors"), load_file(chain[3] / "model.safetensors")
    assert weights.keys() == wanted.keys()
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)
    size = f"{(made[0] / 'model.esp').stat().st_size:,}"
    for said in ("resnet, 10 classes, images of 8x8", f"model.esp: {size} bytes", "layers are quantized too"):
        assert said in found.stdout


@pytest.mark.parametrize("damage", ["flipped", "missing"])
def test_the_decode_command_refuses_a_damaged_file_in_one_line(made, tmp_path, damage, monkeypatch, capsys):
    path, out = tmp_path / "model.esp", tmp_path / "out.safetensors"
    shutil.copy(made[0] / "model.esp", path)
    if damage == "flipped":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 8
        path.write_bytes(data)
    else:
        path.unlink()
    monkeypatch.setattr(sys, "argv", ["espalier", "decode", str(path), str(out)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("espalier", run_name="__main__")
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith(f"error: {path}: ")
    assert said.count("\n") == 1
    assert not out.exists()
