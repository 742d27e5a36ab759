"""Several processes train one network: the same losses, the same bits after any end, and never a hang."""

import csv
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from espalier.data.resident import Batch
from espalier.runs.checkpoint import Checkpoints, read
from espalier.settings.sections import Training
from espalier.site import ranks
from espalier.stages.frame.launch import _telling
from espalier.training.objective import Objective, freeze_statistics, outputs_of
from support.scripts_as_run import ENVIRONMENT, PATIENCE_S, interrupt, interrupted_to_the_end, run, saved, script

# 1167 training images: the last of the batches of 53 has one image and of 97 three, so a share has none or one.
MLP = ["model={name: mlp, hidden: [32]}", "train.epochs=2", "train.batch_size=53", "train.optimizer.lr=0.05"]
CCT = [
    "model={name: cct, layers: 1, heads: 2, dim: 16, dropout: 0.0, attention_dropout: 0.0, stochastic_depth: 0.0}",
    *("train.epochs=1", "train.batch_size=97", "train.optimizer=adamw", "augment=[pad_crop, mixup]"),
]
RESNET = [
    "model={name: resnet, blocks: [1, 1], channels: [8, 16], dropout: 0.2}",
    *("augment=[pad_crop, mixup]", "train.batch_size=53", "train.lookahead.k=4", "seed=7"),
]
TWO = "train.processes=2"


def train(folder, digits, *words, minutes=0.0005):
    return script("train", folder, "--data", digits, "--checkpoint-minutes", minutes, *words)


def finish(command, **more):
    environment = ENVIRONMENT | more
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr


def history(folder):
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{k: float(v) for k, v in row.items() if v and k not in ("images_per_s", "epoch_s")} for row in rows]


def processes(folder):
    """The processes that train in a folder, by their ids: {rank: id}."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words, environment = (path / "cmdline").read_bytes(), (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        values = dict(each.split(b"=", 1) for each in environment if b"=" in each)
        if bytes(folder) in words and b"RANK" in values:
            found[int(values[b"RANK"])] = int(path.name)
    return found


@pytest.mark.parametrize("words", [MLP, pytest.param(CCT, marks=pytest.mark.slow)], ids=["mlp", "cct"])
def test_two_processes_have_the_losses_of_one(words, digits, tmp_path):
    one, two = tmp_path / "one-0000000001", tmp_path / "two-0000000002"
    assert run("train", one, "--data", digits, *words).returncode == 0
    finish(train(two, digits, *words, TWO), OMP_NUM_THREADS="2", MKL_NUM_THREADS="2")
    assert json.loads((two / "run.json").read_text())["threads"] == 1, "two cores, two processes"
    assert len(history(two)) == len(history(one))
    for alone, together in zip(history(one), history(two), strict=True):
        assert together == pytest.approx(alone, rel=1e-5)
    weights = load_file(two / "model.safetensors")
    for name, weight in load_file(one / "model.safetensors").items():
        torch.testing.assert_close(weights[name], weight, rtol=1e-3, atol=1e-4)
    assert sorted(path.name for path in two.iterdir()) == sorted(path.name for path in one.iterdir())
    log = (two / "run.log").read_text()
    assert log.count("best epoch") == 1, "only the main process tells"
    assert "WARNING" not in log


@pytest.mark.slow
def test_a_killed_process_brings_the_run_down_and_the_same_command_goes_on(digits, tmp_path):
    folder = tmp_path / "cut-0000000003"
    words = [*MLP, TWO, "train.epochs=400"]
    process = subprocess.Popen(train(folder, digits, *words), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    while saved(folder) is None:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(processes(folder)[1], signal.SIGKILL)
    _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + signal.SIGKILL
    assert "rank 1 was ended by SIGKILL" in told
    assert "rank 1 was ended by SIGKILL" in (folder / "run.log").read_text()
    assert json.loads((folder / "heartbeat.json").read_text())["state"] == "failed"
    assert not processes(folder)
    before = read(folder / "checkpoint/latest.safetensors")["state"]
    assert before["sums"].shape == (2, 2)

    code = interrupt(train(folder, digits, *words), folder, signal.SIGTERM, saves=1, seconds=0)
    assert code == 75
    assert json.loads((folder / "heartbeat.json").read_text())["state"] == "requeue"
    after = read(folder / "checkpoint/latest.safetensors")["state"]
    assert after["resumed"] == 1
    assert (after["epoch"], after["step"]) > (before["epoch"], before["step"])


@pytest.mark.slow
def test_killed_again_and_again_two_processes_end_with_the_same_bits(digits, tmp_path):
    whole, cut = tmp_path / "whole-0000000004", tmp_path / "cut-0000000004"
    words = [*RESNET, TWO, "train.epochs=12"]
    finish(train(whole, digits, *words, minutes=10))
    kills = interrupted_to_the_end(train(cut, digits, *words), cut, most=3)
    assert kills >= 2
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert history(cut) == history(whole)
    log = (cut / "run.log").read_text()
    assert [line for line in log.splitlines() if "resumed at epoch" in line and "step 0 " not in line]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, None])
def test_asked_to_stop_all_processes_stop_after_the_same_step(number, digits, tmp_path):
    folder = tmp_path / "stopped-0000000005"
    command = train(folder, digits, *RESNET, TWO, "train.epochs=4000", minutes=10)
    if number is None:
        # On a slow machine they are only starting when the time is up, and stop after their first step.
        done = subprocess.run([*command, "--minutes", "0.3"], env=ENVIRONMENT, check=False, timeout=PATIENCE_S)
        assert done.returncode == 75
    else:
        process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
        while not (folder / "history.csv").exists():
            time.sleep(0.01)
        # One of them is enough.
        os.kill(processes(folder)[1], number)
        assert process.wait(timeout=PATIENCE_S) == 75
    saved_state = Checkpoints(folder / "checkpoint", read(folder / "checkpoint/latest.safetensors")["identity"]).load()
    assert saved_state["step"] or saved_state["history"]


@pytest.mark.slow
def test_a_pruning_by_two_processes_is_that_of_one_and_survives_kills(digits, tmp_path):
    parent = tmp_path / "parent-00000000bb"
    finish(train(parent, digits, *RESNET, "train.epochs=2"))
    words = ["prune={name: iterative, ratio: 0.3, rounds: 3, max_drop: 60}", "fine_tune.epochs=2"]
    words += ["fine_tune.batch_size=53", "augment=[pad_crop]"]

    def prune(folder, processes):
        where = ("--parents", parent, "--data", digits, "--checkpoint-minutes", 0.0005)
        return script("prune", folder, *where, *words, f"fine_tune.processes={processes}")

    one, two, cut = (tmp_path / f"{name}-00000000c1" for name in ("one", "two", "cut"))
    for folder, processes in ((one, 1), (two, 2)):
        finish(prune(folder, processes))
    assert interrupted_to_the_end(prune(cut, 2), cut, most=3) >= 2
    for name in ("model.safetensors", "model.json", "layers.csv", "rounds.csv"):
        assert (cut / name).read_bytes() == (two / name).read_bytes(), name
    assert sorted(path.name for path in two.iterdir()) == sorted(path.name for path in one.iterdir())
    sizes = [
        [row[name] for row in csv.DictReader((folder / "rounds.csv").open())]
        for folder in (one, two)
        for name in ("sparsity", "nonzeros", "params", "kept")
    ]
    assert sizes[:4] == sizes[4:]


def test_processes_without_images_are_refused(digits, tmp_path):
    done = run("train", tmp_path / "bad-0000000006", "--data", digits, *MLP, TWO, "train.batch_size=1")
    assert done.returncode == 2
    assert done.stderr.count("train.batch_size: 1 image leaves some of 2 processes without one") == 1
    assert "Traceback" not in done.stderr


def test_other_processes_than_asked_for_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ranks.Mistake, match="processes is 2, and 4 were started"):
        ranks.expect(2, 64)


def test_an_empty_share_reaches_every_parameter_and_counts_for_nothing():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 5))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    freeze_statistics(model)
    batch = Batch(torch.empty(0, 3, 8, 8), torch.empty(0, dtype=torch.long), None, None, 1)
    losses = Objective(Training(label_smoothing=0.1))(outputs_of(model, batch), batch)
    assert losses.shape == (0,)
    losses.sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.grad.any(), name
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_one_process_agrees_with_itself():
    assert [ranks.agree(wish) for wish in (ranks.NOTHING, ranks.SAVE, ranks.STOP)] == [0, 1, 2]
    sums = torch.arange(2.0)
    assert ranks.total(sums) is sums is ranks.own(ranks.gathered(sums))


def test_the_exit_code_of_a_run_is_the_one_that_explains_it():
    assert min((75, 1, 2), key=_telling) == 2
    assert min((1, 75), key=_telling) == 1
    assert min((1, -9), key=_telling) == -9
