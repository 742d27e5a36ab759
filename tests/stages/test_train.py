"""The scripts as they are run: trained, killed, stopped, resumed, evaluated."""

import csv
import json
import random
import signal
import subprocess

import pytest

from support.scripts_as_run import ENVIRONMENT, interrupt, preloaded, run, script

KILLED = [
    "model={name: resnet, blocks: [1, 1], channels: [8, 16], dropout: 0.2}",
    "augment=[pad_crop, mixup]",
    "train.epochs=4",
    "train.batch_size=32",
    "train.optimizer=adamw",
    "train.scheduler=one_cycle",
    "train.warmup_epochs=0.5",
    "train.lookahead.k=4",
    "seed=7",
]
STOPPED = [
    "model={name: mlp, hidden: [32], dropout: 0.3}",
    "augment=[pad_crop]",
    "train.epochs=16",
    "train.batch_size=16",
    "train.scheduler={name: plateau, patience: 0, threshold: 5.0}",
    "train.warmup_epochs=1.0",
    "train.label_smoothing=0.1",
    "train.clip_norm=1.0",
]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits-00000000aa.safetensors"
    done = run("prepare", path, "dataset.name=digits", "dataset.image_size=16")
    assert done.returncode == 0, done.stderr
    return path


def train(folder, digits, *words, minutes=1e-9):
    return script("train", folder, "--data", digits, "--checkpoint-minutes", minutes, *words)


def history(folder):
    with (folder / "history.csv").open() as file:
        return [{k: v for k, v in row.items() if k not in ("images_per_s", "epoch_s")} for row in csv.DictReader(file)]


def outcome(folder):
    return (folder / "model.safetensors").read_bytes(), (folder / "model.json").read_bytes(), history(folder)


@pytest.mark.parametrize(
    ("words", "number", "code"),
    [
        pytest.param(KILLED, signal.SIGKILL, -9, id="SIGKILL"),
        pytest.param(STOPPED, signal.SIGTERM, 75, marks=pytest.mark.slow, id="SIGTERM"),
    ],
)
def test_interrupted_again_and_again_a_run_ends_with_the_same_bits(words, number, code, digits, tmp_path):
    whole, cut = tmp_path / "whole-0000000001", tmp_path / "cut-0000000001"
    assert run("train", whole, "--data", digits, *words).returncode == 0
    cut.mkdir()
    draw = random.Random(0)
    codes = []
    while not (cut / "run.json").exists():
        if len(codes) == 3:
            done = subprocess.run(train(cut, digits, *words), env=preloaded(), capture_output=True, check=False)
            assert done.returncode == 0, done.stderr
            break
        # Moments are counted in saves, one a step, so that a slow machine is interrupted where a fast one is.
        saves, seconds = draw.randint(5, 30), draw.uniform(0, 0.05)
        # Of those that are killed the first imports torch for itself; signals reach a forked one through its client.
        env = ENVIRONMENT if number == signal.SIGKILL and not codes else preloaded()
        codes.append(interrupt(train(cut, digits, *words), cut, number, saves, seconds, env))
        assert codes[-1] in (code, 0)
        assert not (cut / "model.safetensors").exists() or codes[-1] == 0
        if codes[-1] == 75:
            assert json.loads((cut / "heartbeat.json").read_text())["state"] == "requeue"
    assert codes == [code] * 3
    assert outcome(cut) == outcome(whole)
    assert [int(row["epoch"]) for row in history(cut)] == list(range(1, len(history(whole)) + 1))
    record = json.loads((cut / "run.json").read_text())
    assert record["resumed"] >= 2
    log = (cut / "run.log").read_text()
    within = [line for line in log.splitlines() if "resumed at epoch" in line and "step 0 " not in line]
    assert within, "no resume fell within an epoch"
    assert not (cut / "checkpoint").exists()


def test_a_time_budget_stops_and_saves(digits, tmp_path):
    folder = tmp_path / "long-0000000002"
    words = [*STOPPED, "train.epochs=1000"]
    done = run("train", folder, "--data", digits, "--minutes", 0.03, *words)
    assert done.returncode == 75, done.stderr
    assert "are spent: stopped after step" in (folder / "run.log").read_text()
    assert (folder / "checkpoint" / "latest.safetensors").exists()
    assert not (folder / "model.safetensors").exists()
    other = run("train", folder, "--data", digits, *words, "seed=9")
    assert other.returncode == 2
    assert "seed is 'the default' there and 9 here" in other.stderr
    assert "Traceback" not in other.stderr


def test_a_small_residual_network_learns_the_digits(digits, tmp_path):
    folder, scored = tmp_path / "resnet-0000000003", tmp_path / "test-0000000004"
    words = ["model={name: resnet, blocks: [1, 1, 1], channels: [16, 32, 64]}", "train.scheduler=one_cycle"]
    done = run("train", folder, "--data", digits, *words, "train.epochs=6", "train.batch_size=64", "seed=2")
    assert done.returncode == 0, done.stderr
    row = next(csv.DictReader((folder / "metrics.csv").open()))
    assert float(row["validation_top1"]) >= 97
    assert (row["run"], row["parent"]) == ("0000000003", "00000000aa")
    assert int(row["params"]) == 77754
    assert json.loads((folder / "heartbeat.json").read_text())["state"] == "done"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("heartbeat.json", "history.csv", "metrics.csv", "model.json", "model.safetensors", "run.json", "run.log")
    ]

    done = run("evaluate", scored, "--parents", folder, "--data", digits)
    assert done.returncode == 0, done.stderr
    found = next(csv.DictReader((scored / "metrics.csv").open()))
    assert float(found["test_top1"]) >= 95
    assert (found["images"], found["parent"]) == ("360", "0000000003")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.epoch=3"], "did you mean 'epochs'"),
        (["model={name: resnet, blocks: [1], channels: [8, 8]}"], "blocks has 1 and channels has 2"),
    ],
)
def test_a_mistake_is_told_in_a_line_and_leaves_no_artifact(words, message, digits, tmp_path):
    done = run("train", tmp_path / "bad-0000000005", "--data", digits, *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*/model.*")) + list(tmp_path.glob("*/run.json"))


def test_a_missing_data_set_is_told_in_a_line(tmp_path):
    done = run("train", tmp_path / "bad-0000000006", "--data", tmp_path / "none.safetensors", "model.name=mlp")
    assert done.returncode == 2
    assert "none.safetensors: there is no such file" in done.stderr
    assert json.loads((tmp_path / "bad-0000000006" / "heartbeat.json").read_text())["state"] == "failed"
