"""Weights & Biases follows a training offline; where it is not installed, it says so before a run begins."""

import csv
import json
import struct
import subprocess
import sys

import pytest

from espalier.errors import Mistake
from espalier.plan import config
from espalier.runs import trackers
from espalier.runs.spoken_name import spoken_name
from support.scripts_as_run import ENVIRONMENT, PATIENCE_S, SCRIPTS, run, script

WORDS = ("model.name=mlp", "model.hidden=[4]", "train.epochs=2")


BLOCK, HEAD = 32_768, 7
WHOLE, FIRST, LAST = 1, 2, 4


def records(path):
    """What an offline run has kept, in its order: a log of LevelDB, after 7 bytes of its own."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, parts = path.read_bytes(), HEAD, b""
    assert data.startswith(b":W&B")
    while place < len(data):
        # A block's last bytes, too few for a head, are empty.
        if BLOCK - place % BLOCK < HEAD:
            place += BLOCK - place % BLOCK
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        part = data[place + HEAD : place + HEAD + length]
        parts = part if kind in (WHOLE, FIRST) else parts + part
        place += HEAD + length
        if kind in (WHOLE, LAST):
            record = Record()
            record.ParseFromString(parts)
            yield record


def said(items):
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def offline(folder):
    """What W&B's offline run of a training says: who it is, its settings, a mapping an epoch."""
    (kept,) = (folder / "tracking/wandb").glob("offline-run-*/*.wandb")
    found = [*records(kept)]
    (begun,) = (record.run for record in found if record.HasField("run"))
    settings = {}
    for record in found:
        if record.HasField("config"):
            settings |= said(record.config.update)
    return begun, settings, [said(record.history.item) for record in found if record.HasField("history")]


def without_server():
    """The environment without W&B's variables, an account's key among them: nothing may go to a server."""
    return {key: value for key, value in ENVIRONMENT.items() if not key.startswith("WANDB")}


def test_an_offline_run_holds_settings_and_every_epoch(digits, tmp_path):
    pytest.importorskip("wandb", reason="Weights & Biases is not installed: uv sync --group trackers")
    folder = tmp_path / "net-0000000000"
    command = [sys.executable, SCRIPTS / "stage.py", "train", folder, "--data", digits, "--trackers=wandb", *WORDS]
    done = subprocess.run(command, env=without_server(), capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {folder.name}
    begun, settings, told = offline(folder)
    assert (begun.project, begun.display_name, begun.run_id) == (
        trackers.PROJECT,
        spoken_name("0000000000"),
        folder.name,
    )
    assert settings["train.epochs"] == 2 and settings["folder"] == folder.name
    with (folder / "history.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [epoch["_step"] for epoch in told] == [int(row["epoch"]) for row in rows] == [1, 2]
    for column in ("validation_top1", "train_loss", "lr"):
        assert [epoch[column] for epoch in told] == [float(row[column]) for row in rows]


@pytest.mark.slow
def test_a_sweep_that_trains_at_once_is_one_project(digits, tmp_path):
    pytest.importorskip("wandb", reason="Weights & Biases is not installed: uv sync --group trackers")
    sweep = {"a-0000000000": 0.1, "b-1111111111": 0.02}
    started = [
        subprocess.Popen(
            [
                *script("train", tmp_path / name, "--data", digits, "--trackers=wandb", *WORDS),
                *(f"train.optimizer.lr={lr}", f"train.processes={1 + (lr == 0.02)}"),
            ],
            env=without_server() | {"WANDB_PROJECT": "sweep"},
            cwd=tmp_path,
        )
        for name, lr in sweep.items()
    ]
    assert [process.wait(PATIENCE_S) for process in started] == [0, 0]
    found = [offline(tmp_path / name) for name in sweep]
    assert {run.project for run, _, _ in found} == {"sweep"}
    assert [run.display_name for run, _, _ in found] == [spoken_name(name[-10:]) for name in sweep]
    assert [settings["train.optimizer.lr"] for _, settings, _ in found] == [*sweep.values()]
    for _, _, told in found:
        best = [epoch["best_validation_top1"] for epoch in told]
        assert best == [max(epoch["validation_top1"] for epoch in told[: place + 1]) for place in range(2)]


def test_following_changes_no_bit(digits, tmp_path):
    pytest.importorskip("wandb", reason="Weights & Biases is not installed: uv sync --group trackers")
    for name, more in (("a-0000000000", ()), ("b-0000000000", ("--trackers", "wandb"))):
        done = run("train", tmp_path / name, "--data", digits, *more, *WORDS)
        assert done.returncode == 0, done.stderr
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("a-0000000000", "b-0000000000"))
    assert one == other


def test_where_it_is_not_installed_the_run_ends_before_it_begins(digits, tmp_path):
    folder = tmp_path / "net-0000000000"
    hidden = "import importlib.util as u, runpy, sys; found = u.find_spec\n"
    hidden += "u.find_spec = lambda name, *rest: None if name == 'wandb' else found(name, *rest)\n"
    hidden += "sys.argv = sys.argv[1:]; sys.path.insert(0, sys.argv[0].rpartition('/')[0])\n"
    hidden += "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    command = [
        sys.executable,
        "-c",
        hidden,
        str(SCRIPTS / "stage.py"),
        "train",
        folder,
        "--data",
        digits,
        "--trackers=wandb",
    ]
    done = subprocess.run([*command, *WORDS], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "tracking: wandb is not installed: uv sync --group trackers" in done.stderr
    assert not (folder / "metrics.csv").exists() and not (folder / "tracking").exists()


def test_the_key_of_the_configuration_takes_it(monkeypatch):
    assert config.read({"tracking": ["wandb"]})[0].tracking == ("wandb",)
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(Mistake, match="wandb is not installed: uv sync --group trackers"):
        trackers.named("wandb")
