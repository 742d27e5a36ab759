import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from espalier.results.page import status_table
from espalier.results.read.hours import facts, hours
from espalier.results.read.run_state import SILENT_S, chain_state, state_of
from support import study_on_disk as disk
from support.sealed import reseal

STATUS = [sys.executable, "-m", "espalier", "status"]
AT_HOME = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.fixture
def one(tmp_path):
    """A study of one finished chain, and its training run."""
    study = disk.plan([dict(disk.BASELINE)], repeats=1)
    disk.finish(tmp_path, study)
    return tmp_path, study, study["runs"][study["points"][0]["runs"]["train"]]


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("state", ["waiting", "running", "failed", "lost"])
def test_state_from_files(one, state):
    root, _, run = one
    assert state_of(run, root).name == "done"
    disk.undo(root, run, state)
    assert state_of(run, root).name == state


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"pid": "dead"}, "lost"),
        ({"pid": "dead", "host": "another"}, "running"),
        ({"pid": -1}, "running"),
        ({"pid": "not a number"}, "running"),
        ({"age": 60}, "running"),
        ({"age": 3600, "host": "another"}, "lost"),
        ({"time": None}, "lost"),
        ({"state": "requeue"}, "waiting"),
        ({"state": "done"}, "waiting"),
        ({"state": "paused"}, "paused"),
        ({"state": "paused", "pid": "dead"}, "paused"),
    ],
)
def test_heartbeats_of_every_kind(one, said, expected):
    root, _, run = one
    if said.get("pid") == "dead":
        said = said | {"pid": dead_pid()}
    if "age" in said:
        # Counted from now: the cases were listed when the tests were collected, which may be minutes ago.
        said = {key: value for key, value in said.items() if key != "age"} | {"time": time.time() - said["age"]}
    disk.undo(root, run, "running", **said)
    assert state_of(run, root).name == expected


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_a_stage_that_falls_silent_is_lost(one, stage):
    root, study, _ = one
    run = study["runs"][study["points"][0]["runs"][stage]]
    for age, expected in ((SILENT_S - 30, "running"), (SILENT_S + 30, "lost")):
        disk.undo(root, run, "running", time=time.time() - age, host="another")
        assert state_of(run, root).name == expected


def test_a_torn_heartbeat_is_no_heartbeat(one):
    root, _, run = one
    disk.undo(root, run, "running")
    (root / run["path"] / "heartbeat.json").write_text('{"state": "run')
    # What is left is a fresh log without an error.
    assert state_of(run, root).name == "running"


def test_a_new_attempt_outdates_the_failure_before_it(one):
    root, _, run = one
    disk.undo(root, run, "failed", time=time.time() - 300)
    (root / run["path"] / "run.log").write_text("2026-03-01 12:00:00 INFO started again\n")
    assert state_of(run, root).name == "running"


def test_without_a_heartbeat_the_log_tells(one):
    root, study, _ = one
    run = study["runs"][study["points"][0]["runs"]["prepare"]]
    log = (root / run["path"]).with_suffix(".log")
    assert state_of(run, root).name == "done"
    (root / run["path"]).unlink()
    assert state_of(run, root).name == "waiting"
    log.write_text("error: no such folder\n")
    assert state_of(run, root).name == "failed"
    log.write_text("reading\n")
    assert state_of(run, root).name == "running"
    os.utime(log, (time.time() - 600,) * 2)
    assert state_of(run, root).name == "lost"


def test_a_chain_is_as_far_as_the_run_that_holds_it_up():
    assert chain_state(["done", "done", "done"]) == "done"
    assert chain_state(["done", "done", "waiting"]) == "waiting"
    assert chain_state(["done", "running", "waiting"]) == "running"
    assert chain_state(["done", "failed", "waiting"]) == "failed"
    assert chain_state(["done", "paused", "waiting"]) == "paused"
    assert chain_state(["done", "diverged", "not run"]) == "diverged"
    assert chain_state(["damaged", "diverged", "not run"]) == "damaged"


def test_what_is_told(tmp_path):
    study = disk.plan()
    disk.finish(tmp_path, study)
    train = [study["runs"][point["runs"]["train"]] for point in study["points"]]
    for point in study["points"][:3]:
        disk.undo(tmp_path, study["runs"][point["runs"]["evaluate"]], "waiting")
    disk.undo(tmp_path, train[0], "running", epoch=3, epochs=6, top1=99.95, seconds_left=75)
    disk.undo(tmp_path, train[1], "failed")
    silent = time.time() - 600
    disk.undo(tmp_path, train[2], "lost", time=silent, host="node7")
    os.utime(tmp_path / train[2]["path"] / "run.log", (silent, silent))
    lines = status_table.text(study, tmp_path).splitlines()
    assert lines[0].split() == ["demo", "done", "running", "failed", "lost", "waiting", "best", "top-1"]
    assert lines[2].split() == ["train", "18", "1", "1", "1", "-", "99.95"]
    assert lines[3].split() == ["evaluate", "18", "-", "-", "-", "3", "-"]
    assert lines[4].split() == ["all", "37", "1", "1", "1", "3"]
    assert "run-hours spent" in lines[5] and "1 min 15 s left" not in lines[5]
    assert lines[6].startswith("running") and "epoch 3/6  top-1 99.95 %  1 min 15 s left" in lines[6]
    assert lines[7].startswith("failed") and "CUDA out of memory" in lines[7]
    assert lines[7].endswith(f"{train[1]['path']}/run.log")
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(silent))
    assert lines[8].startswith("lost") and f"silent since {since} on node7" in lines[8]
    assert "left" not in lines[8]


def test_a_paused_run_is_neither_failed_nor_lost_and_has_its_rest_to_go(tmp_path):
    study = disk.plan([dict(disk.BASELINE)], repeats=2)
    disk.finish(tmp_path, study)
    train = [study["runs"][point["runs"]["train"]] for point in study["points"]]
    reseal(tmp_path / train[0]["path"], wall_s=3600)
    now = time.time()
    disk.undo(tmp_path, train[1], "paused", epoch=2, epochs=6, seconds_left=0.0, time=now)
    begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now - 1200))
    (tmp_path / train[1]["path"] / "run.log").write_text(f"{begun} INFO 6 epochs\n")
    lines = status_table.text(study, tmp_path).splitlines()
    assert lines[0].split()[1:7] == ["done", "running", "paused", "failed", "lost", "waiting"]
    assert lines[2].split()[:7] == ["train", "1", "-", "1", "-", "-", "-"]
    assert lines[-1] == "  paused at 2 of 6: 1 training"
    found = hours_of(tmp_path, study)
    assert (found.to_go, found.left) == (pytest.approx(2 / 3, abs=0.01), None)


def on_gpu(root, run, seconds):
    """Let a finished run say that it took `seconds` on a GPU."""
    reseal(root / run["path"], device="NVIDIA A100", wall_s=seconds)


def hours_of(root, study):
    states = {id_: state_of(run, root) for id_, run in study["runs"].items()}
    return hours(study, states, facts(study, states, root))


def test_hours_spent_and_to_go(tmp_path):
    study = disk.plan([dict(disk.BASELINE), dict(disk.BASELINE) | {"model": "LeNet"}], repeats=3)
    disk.finish(tmp_path, study)
    train = [study["runs"][point["runs"]["train"]] for point in study["points"]]
    for run, seconds in zip(train, [3600, 7200, 0, 1800, 1800, 0], strict=True):
        on_gpu(tmp_path, run, seconds)
    found = hours_of(tmp_path, study)
    # The evaluations ran on a CPU, and are no GPU-hours.
    assert (found.spent, found.to_go, found.left, found.gpu, found.unknown) == (4.0, 0.0, None, True, 0)
    disk.undo(tmp_path, train[2], "waiting")
    found = hours_of(tmp_path, study)
    # As long as the two of the same network, not as the mean of all.
    assert (found.spent, found.to_go, found.left) == (4.0, 1.5, None)
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - 1800))
    disk.undo(tmp_path, train[5], "running", seconds_left=900)
    (tmp_path / train[5]["path"] / "run.log").write_text(f"{started} INFO 6 epochs\n")
    found = hours_of(tmp_path, study)
    assert found.spent == pytest.approx(4.5, abs=0.01)
    assert found.to_go == pytest.approx(1.75, abs=0.01)
    assert found.left == pytest.approx(1.75, abs=0.01)


def test_processes_count_one_each(tmp_path):
    study = disk.plan([dict(disk.BASELINE)], repeats=1)
    disk.finish(tmp_path, study)
    run = study["runs"][study["points"][0]["runs"]["train"]]
    run["settings"]["train.processes"] = 4
    on_gpu(tmp_path, run, 3600)
    assert hours_of(tmp_path, study).spent == 4.0


def test_nothing_is_foretold_of_a_stage_that_has_not_ended(tmp_path):
    study = disk.plan([dict(disk.BASELINE)], repeats=2)
    found = hours_of(tmp_path, study)
    assert (found.spent, found.to_go, found.left, found.unknown) == (0.0, 0.0, None, 4)
    assert "without the 4 runs" in status_table.text(study, tmp_path)


@pytest.mark.parametrize("file", ["run.json", "metrics.csv"])
def test_damaged_runs_are_told_and_are_no_hours(one, file):
    root, study, run = one
    (root / run["path"] / file).write_text('{"wall_s": "long", "dev')
    assert state_of(run, root).name == "damaged"
    assert hours_of(root, study).spent == pytest.approx(5 / 3600)
    lines = status_table.text(study, root).splitlines()
    assert "damaged" in lines[0]
    assert lines[2].split() == ["train", "-", "-", "-", "-", "1", "-", "-"]
    assert lines[-1].startswith("damaged") and f"{file}: it " in lines[-1]
    assert lines[-1].endswith(f"espalier forget {Path(run['path']).name}")


def test_diverged_runs_are_told_with_their_reason_and_count_as_ended(one):
    root, study, _ = one
    disk.diverge(root, study, study["points"][0])
    lines = status_table.text(study, root).splitlines()
    assert lines[0].split()[:5] == ["demo", "done", "diverged", "not", "run"]
    assert lines[4].split() == ["all", "1", "1", "1", "-", "-", "-", "-"]
    assert [line.split()[0] for line in lines[6:]] == ["diverged"] and "the training loss is nan" in lines[6]
    found = hours_of(root, study)
    assert (found.spent, found.to_go, found.unknown) == (pytest.approx(10 / 3600), 0.0, 0)


@pytest.mark.parametrize("state", [pytest.param("running", marks=pytest.mark.slow), "done"])
def test_a_thousand_runs_are_told_of_without_heavy_imports(tmp_path, state):
    models = [dict(disk.BASELINE) | {"model": f"net {index}"} for index in range(100)]
    study = disk.plan(models, repeats=5)
    disk.finish(tmp_path, study)
    if state == "running":
        for run in study["runs"].values():
            if run["stage"] != "prepare":
                disk.undo(tmp_path, run, "running")
    disk.write_plan(tmp_path, study)
    program = (
        "import sys; from pathlib import Path; from espalier.results.page import status_table as status\n"
        "from espalier.results.read.planned_study import read\n"
        "print(status.text(read(Path(sys.argv[1]))))\n"
        "print(*sorted({'pandas', 'numpy', 'torch'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, "results/studies/demo/plan.json"]
    out = subprocess.run(command, cwd=tmp_path, env=AT_HOME, capture_output=True, text=True, check=True).stdout
    assert out.count("\nrunning") == (1000 if state == "running" else 0)
    assert not out.splitlines()[-1]


def test_outside_the_repository_the_mistake_is_told(tmp_path):
    done = subprocess.run(STATUS, cwd=tmp_path, env=AT_HOME, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "error: config/config.yaml: there is no such file; call espalier in the folder of the repository\n"
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (["done", "done"], "done"),
        (["done", "diverged", "not run"], "diverged"),
        (["done", "not run"], "not run"),
        (["done", "waiting", "failed"], "failed"),
        (["diverged", "damaged"], "damaged"),
    ],
)
def test_a_chain_is_in_the_state_of_the_run_that_holds_it_up(found, expected):
    assert chain_state(found) == expected
