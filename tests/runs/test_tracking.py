"""Trackers follow a training from outside: every epoch is told once, and no bit of a result changes."""

import csv
import subprocess
import sys

import pytest

from espalier.plan import config
from espalier.runs import trackers
from espalier.runs.spoken_name import spoken_name
from espalier.settings.problems import StudyError
from support.scripts_as_run import ENVIRONMENT, PATIENCE_S, SCRIPTS, run, script

WORDS = ("model.name=resnet", "model.blocks=[1]", "model.channels=[4]", "train.epochs=2")
FINE = ("prune.name=magnitude", "prune.ratio=0.5", "fine_tune.epochs=1")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Prepared digits, and a run that nothing follows."""
    root = tmp_path_factory.mktemp("tracking")
    data = root / "digits-0123456789.safetensors"
    assert run("prepare", data, "dataset.name=digits").returncode == 0
    done = run("train", root / "net-0000000000", "--data", data, *WORDS)
    assert done.returncode == 0, done.stderr
    return data, root / "net-0000000000"


def history(folder):
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def scalars(folder, tag):
    """(step, value) of every event of a tag in the TensorBoard files of a run."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard is not installed"
    )
    events = accumulator.EventAccumulator(str(folder / "tracking/tensorboard")).Reload()
    return [(one.step, one.value) for one in events.Scalars(tag)]


def test_tensorboard_is_told_every_epoch_and_changes_no_bit(plain, tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed: uv sync --group trackers")
    data, alone = plain
    folder = tmp_path / "net-0000000000"
    done = run("train", folder, "--data", data, "--trackers", "tensorboard", *WORDS)
    assert done.returncode == 0, done.stderr
    assert (folder / "model.safetensors").read_bytes() == (alone / "model.safetensors").read_bytes()
    assert not (alone / "tracking").exists()
    rows = history(folder)
    for column in ("validation_top1", "train_loss", "lr"):
        told = scalars(folder, column)
        assert told == [(int(row["epoch"]), pytest.approx(float(row[column]), rel=1e-6)) for row in rows]


def test_a_pruning_is_followed_too(plain, tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed: uv sync --group trackers")
    data, parent = plain
    folder = tmp_path / "net-1111111111"
    done = run("prune", folder, "--parents", parent, "--data", data, "--trackers", "tensorboard", *FINE)
    assert done.returncode == 0, done.stderr
    assert [step for step, _ in scalars(folder, "validation_loss")] == [1]


@pytest.mark.slow
def test_mlflow_is_told_the_same_beside_the_run(plain, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed: uv sync --group trackers")
    data, alone = plain
    folder = tmp_path / "net-0000000000"
    environment = {key: value for key, value in ENVIRONMENT.items() if not key.startswith("MLFLOW")}
    command = [sys.executable, SCRIPTS / "stage.py", "train", folder, "--data", data, "--trackers=mlflow", *WORDS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "model.safetensors").read_bytes() == (alone / "model.safetensors").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {folder.name}
    client = mlflow.MlflowClient(f"sqlite:///{folder}/tracking/mlflow.db")
    (one,) = client.search_runs([client.get_experiment_by_name(trackers.PROJECT).experiment_id])
    assert one.info.run_name == spoken_name("0000000000") and one.data.tags["folder"] == folder.name
    assert one.data.params["train.epochs"] == "2"
    told = [each.value for each in client.get_metric_history(one.info.run_id, "validation_top1")]
    assert told == [float(row["validation_top1"]) for row in history(folder)]


@pytest.mark.slow
def test_a_sweep_that_trains_at_once_is_one_experiment_whose_runs_can_be_sorted(plain, tmp_path):
    """Three trainings begin together in an empty store; one of them is of two processes, and told by the main one."""
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed: uv sync --group trackers")
    data, _ = plain
    store = f"sqlite:///{tmp_path}/live.db"
    environment = {key: value for key, value in ENVIRONMENT.items() if not key.startswith("MLFLOW")}
    environment |= {"MLFLOW_TRACKING_URI": store, "MLFLOW_EXPERIMENT_NAME": "sweep"}
    sweep = {"a-0000000000": "lr=0.1", "b-1111111111": "lr=0.02", "c-2222222222": "lr=0.003"}
    started = [
        subprocess.Popen(
            [
                *script("train", tmp_path / name, "--data", data, "--trackers=mlflow", *WORDS, "train.epochs=4"),
                *(f"train.optimizer.{lr}", f"train.processes={2 if lr == 'lr=0.02' else 1}"),
            ],
            env=environment,
            cwd=tmp_path,
        )
        for name, lr in sweep.items()
    ]
    assert [process.wait(PATIENCE_S) for process in started] == [0, 0, 0]
    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name("sweep").experiment_id
    found = client.search_runs([experiment], order_by=["params.`train.optimizer.lr` DESC"])
    assert [run.info.run_name for run in found] == [spoken_name(name[-10:]) for name in sweep]
    assert [run.data.params["train.optimizer.lr"] for run in found] == ["0.1", "0.02", "0.003"]
    # A setting that is at its default is told too, so that runs can be grouped by it.
    assert [run.data.params["train.processes"] for run in found] == ["1", "2", "1"]
    for one, name in zip(found, sweep, strict=True):
        rows = history(tmp_path / name)
        told = client.get_metric_history(one.info.run_id, "best_validation_top1")
        top1 = [float(row["validation_top1"]) for row in rows]
        assert [(each.step, each.value) for each in told] == [(epoch, max(top1[:epoch])) for epoch in range(1, 5)]
        (measured,) = csv.DictReader((tmp_path / name / "metrics.csv").open(newline=""))
        assert one.data.metrics["best_validation_top1"] == float(measured["validation_top1"])
        assert one.data.metrics["best_epoch"] == float(measured["best_epoch"])


def test_a_missing_library_ends_the_run_before_it_begins(plain, tmp_path):
    data, _ = plain
    hidden = "import importlib.util as u, runpy, sys; found = u.find_spec\n"
    hidden += "u.find_spec = lambda name, *rest: None if name == 'tensorboard' else found(name, *rest)\n"
    hidden += "sys.argv = sys.argv[1:]; sys.path.insert(0, sys.argv[0].rpartition('/')[0])\n"
    hidden += "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    command = [sys.executable, "-c", hidden, SCRIPTS / "stage.py", "train", tmp_path / "net-0000000000", "--data", data]
    done = subprocess.run(
        [*command, "--trackers", "tensorboard", *WORDS], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "uv sync --group trackers" in done.stderr and done.stderr.count("\n") == 1
    assert {path.name for path in (tmp_path / "net-0000000000").iterdir()} == {"run.log", "heartbeat.json"}


def test_an_unknown_tracker_is_told_before_any_job():
    with pytest.raises(StudyError, match=r"tracking\.0"):
        config.read({"tracking": ["excel"]})


def test_the_key_takes_a_word_or_a_list_and_is_off():
    assert config.read({})[0].tracking == ()
    assert config.read({"tracking": "tensorboard,mlflow"})[0].tracking == ("tensorboard", "mlflow")


def test_following_makes_no_run_anew(finished):
    tracked = ("--config", "studies=tiny", "tracking=tensorboard")
    assert finished.jobs(*tracked) == {}


@pytest.mark.slow
def test_the_key_reaches_every_training(finished, tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed: uv sync --group trackers")
    copy = finished.copy(tmp_path / "copy")
    before = set(copy.folder.glob("results/runs/train/*"))
    copy.snakemake("-c2", "--until", "train", "--config", "studies=tiny", "tracking=tensorboard", "seed=7")
    new = set(copy.folder.glob("results/runs/train/*")) - before
    assert len(new) == 2 and not any((run / "tracking").exists() for run in before)
    assert all(len(scalars(run, "lr")) == 2 for run in new)
