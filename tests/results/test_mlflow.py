"""Finished runs in MLflow: what the CSVs say, once each, however often they are brought there."""

import csv
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from espalier.errors import Mistake
from espalier.results.mlflow import finished as on_disk
from espalier.results.mlflow.store import VERSION, imported
from espalier.runs.spoken_name import spoken_name
from espalier.runs.trackers import mlflow_library
from support.scripts_as_run import SCRIPTS
from support.sealed import reseal
from support.study_on_disk import diverge, finish, plan, pruned, undo, write_plan

pytest.importorskip("mlflow", reason="MLflow is not installed: uv sync --group trackers")


ROOT = Path(__file__).parents[2]


def stored(store):
    """Run id → the runs of the store that stand for it, over all experiments."""
    client = mlflow_library().MlflowClient(f"sqlite:///{store}")
    ids = [one.experiment_id for one in client.search_experiments()]
    found = {}
    for run in client.search_runs(ids, max_results=1000):
        found.setdefault(run.data.tags["id"], []).append(run)
    return client, found


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store with a study of nine trained and three pruned runs, brought there twice; root, study, counts."""
    root = tmp_path_factory.mktemp("filled")
    study = pruned(plan(repeats=1))
    finish(root, study)
    twice = [imported(root / "results/mlflow.db", [study], root) for _ in range(2)]
    return root, study, twice


def test_a_second_time_adds_nothing(filled):
    root, study, (first, second) = filled
    asked = sum(run["stage"] != "prepare" for run in study["runs"].values())
    assert first == {"new": asked, "renewed": 0, "there": 0}
    assert second == {"new": 0, "renewed": 0, "there": asked}
    _, found = stored(root / "results/mlflow.db")
    assert len(found) == asked and all(len(runs) == 1 for runs in found.values())


def test_numbers_are_those_of_the_csvs(filled):
    root, study, _ = filled
    client, found = stored(root / "results/mlflow.db")
    for id_, (run,) in found.items():
        folder = root / study["runs"][id_]["path"]
        (row,) = rows(folder / "metrics.csv")
        expected = {name: float(value) for name, value in row.items() if name not in ("run", "parent") and value}
        told = {name: value for name, value in run.data.metrics.items() if not name.startswith("epoch/")}
        assert told == expected
    (trained,) = [run for (run,) in found.values() if run.data.tags["stage"] == "train"][:1]
    epochs = rows(root / trained.data.tags["folder"] / "history.csv")
    for column in ("validation_top1", "lr"):
        told = client.get_metric_history(trained.info.run_id, f"epoch/{column}")
        assert [(one.step, one.value) for one in told] == [(int(row["epoch"]), float(row[column])) for row in epochs]
        assert [one.timestamp for one in told] == sorted(one.timestamp for one in told)


def test_a_run_tells_of_its_settings_and_its_origin(filled):
    root, study, _ = filled
    _, found = stored(root / "results/mlflow.db")
    (point,) = [point for point in study["points"] if point["labels"].get("prune.ratio") == "0.5"]
    (run,) = found[point["runs"]["evaluate"]]
    # A score on the test split is read beside the settings of the whole chain.
    assert run.data.params["prune.ratio"] == "0.5" and "prune.name" in run.data.params
    (trained,) = found[point["runs"]["train"]]
    assert {key: run.data.params[key] for key in trained.data.params} == trained.data.params
    assert run.data.tags["study"] == "demo" and run.data.tags["parent"] == point["runs"]["prune"]
    assert trained.data.tags["git.commit"] == "1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e"
    assert trained.data.tags["label.model"] == point["labels"]["model"]
    # The trained network stands in chains with and without pruning.
    assert "label.prune.ratio" not in trained.data.tags and run.data.tags["label.prune.ratio"] == "0.5"
    assert run.info.run_name == spoken_name(run.data.tags["id"])
    assert run.info.status == "FINISHED" and run.info.end_time > run.info.start_time


def test_artifacts_are_the_run_itself(filled):
    root, study, _ = filled
    client, found = stored(root / "results/mlflow.db")
    (run,) = next(iter(found.values()))
    names = {Path(each.path).name for each in client.list_artifacts(run.info.run_id)}
    folder = root / study["runs"][run.data.tags["id"]]["path"]
    assert names == {path.name for path in folder.iterdir()} >= {"metrics.csv"}
    link = Path(run.info.artifact_uri.removeprefix("file://"))
    assert link.is_symlink() and link.resolve() == folder.resolve() and not link.readlink().is_absolute()


def test_a_run_made_anew_replaces_its_earlier_self(tmp_path):
    study = plan(repeats=1)
    finish(tmp_path, study)
    store = tmp_path / "mlflow.db"
    first = imported(store, [study], tmp_path)
    id_ = next(id_ for id_, run in study["runs"].items() if run["stage"] == "evaluate")
    path = tmp_path / study["runs"][id_]["path"] / "metrics.csv"
    header, values = path.read_text().splitlines()
    top1 = header.split(",").index("test_top1")
    path.write_text("\n".join([header, ",".join([*values.split(",")[:top1], "12.5", *values.split(",")[top1 + 1 :]])]))
    reseal(path.parent)
    assert imported(store, [study], tmp_path) == {"new": 0, "renewed": 1, "there": first["new"] - 1}
    client, found = stored(store)
    (run,) = found[id_]
    assert run.data.metrics["test_top1"] == 12.5
    # One that was broken off half-way is made anew too.
    client.delete_tag(run.info.run_id, VERSION)
    assert imported(store, [study], tmp_path)["renewed"] == 1
    assert len(stored(store)[1][id_]) == 1


def test_only_finished_runs_are_there(tmp_path):
    study = plan(repeats=1)
    finish(tmp_path, study)
    ids = [id_ for id_, run in study["runs"].items() if run["stage"] == "train"]
    for id_, state in zip(ids, ("failed", "running", "waiting"), strict=False):
        undo(tmp_path, study["runs"][id_], state)
    diverge(tmp_path, study, study["points"][3])
    told = {run.id for run in on_disk.finished(study, tmp_path)}
    assert not told & set(ids[:4]) and set(ids[4:]) <= told


def test_a_damaged_history_is_told(tmp_path):
    study = plan(repeats=1)
    finish(tmp_path, study)
    run = next(run for run in study["runs"].values() if run["stage"] == "train")
    (tmp_path / run["path"] / "history.csv").write_text("")
    with pytest.raises(Mistake, match=r"history\.csv: it is damaged"):
        list(on_disk.finished(study, tmp_path))


def test_a_file_that_is_no_store_is_told_in_one_line(tmp_path):
    (tmp_path / "mlflow.db").write_text("no database " * 100)
    with pytest.raises(Mistake, match=r"mlflow\.db: is no store") as told:
        imported(tmp_path / "mlflow.db", [])
    assert "\n" not in str(told.value)


def test_without_mlflow_one_line_says_what_installs_it(tmp_path):
    (tmp_path / "mlflow.py").write_text("raise ModuleNotFoundError(\"No module named 'mlflow'\", name='mlflow')\n")
    written = write_plan(tmp_path, plan(repeats=1))
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, SCRIPTS / "mlflow_import.py", tmp_path / "store.db", "--plan", written]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "uv sync --group trackers" in done.stderr and not (tmp_path / "store.db").exists()


@pytest.mark.slow
def test_snakemake_brings_a_study_there(finished, tmp_path):
    copy = finished.copy(tmp_path / "copy")
    told = copy.snakemake("-c1", "-q", "all", "--config", "studies=tiny", "--", "mlflow").stdout
    assert "4 new" in told, told
    _, found = stored(copy.folder / "results/mlflow.db")
    asked = json.loads((copy.folder / "results/studies/tiny/plan.json").read_text())
    assert set(found) == {id_ for id_, run in asked["runs"].items() if run["stage"] != "prepare"}
    assert copy.jobs("--config", "studies=tiny") == {}


def test_the_conda_environment_pins_what_the_lock_holds():
    """What the import needs beside MLflow and the library itself is Python."""
    text = (ROOT / "envs/trackers.yaml").read_text()
    locked = {one["name"]: one.get("version") for one in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    assert dict(re.findall(r"- (\S+)==(\S+)", text)) == {"mlflow": locked["mlflow"]}
    code = "import sys; sys.path.insert(0, sys.argv[1])\n"
    code += "import espalier.results.mlflow.store, espalier.results.read.planned_study\n"
    code += "print(*{name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))"
    done = subprocess.run([sys.executable, "-S", "-c", code, ROOT], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"__main__", "espalier"}, done.stdout
