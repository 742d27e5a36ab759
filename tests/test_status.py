import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

import study_on_disk as disk
from espalier.results.state import chain_state, state_of
from espalier.results.status import told

SCRIPT = Path(__file__).parents[1] / "workflow/scripts/status.py"


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


def test_what_is_told(tmp_path):
    study = disk.plan()
    disk.finish(tmp_path, study)
    train = [study["runs"][point["runs"]["train"]] for point in study["points"]]
    for point in study["points"][:3]:
        disk.undo(tmp_path, study["runs"][point["runs"]["evaluate"]], "waiting")
    disk.undo(tmp_path, train[0], "running", epoch=3, epochs=6, top1=91.25, seconds_left=75)
    disk.undo(tmp_path, train[1], "failed")
    disk.undo(tmp_path, train[2], "lost")
    lines = told(study, tmp_path).splitlines()
    assert lines[0].split() == ["demo", "done", "running", "failed", "lost", "waiting"]
    assert lines[2].split() == ["train", "18", "1", "1", "1", "-"]
    assert lines[3].split() == ["evaluate", "18", "-", "-", "-", "3"]
    assert lines[4].split() == ["all", "37", "1", "1", "1", "3"]
    assert lines[5].startswith("running") and "epoch 3/6  top-1 91.25 %  1 min 15 s left" in lines[5]
    assert lines[6].startswith("failed") and "CUDA out of memory" in lines[6]
    assert lines[6].endswith(f"{train[1]['path']}/run.log")
    assert lines[7].startswith("lost") and "left" not in lines[7]


def test_a_thousand_runs_in_a_second_without_heavy_imports(tmp_path):
    models = [dict(disk.BASELINE) | {"model": f"net {index}"} for index in range(100)]
    study = disk.plan(models, repeats=5)
    for run in study["runs"].values():
        folder = tmp_path / run["path"]
        folder.mkdir(parents=True)
        beat = {"state": "running", "pid": os.getpid(), "host": platform.node(), "time": time.time(), "epoch": 1}
        (folder / "heartbeat.json").write_text(json.dumps(beat))
    plan = disk.write_plan(tmp_path, study)
    program = (
        f"import runpy, sys; sys.argv = ['status.py', '--plan', {str(plan)!r}]\n"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        "import time; print(time.process_time(), *sorted({'pandas', 'numpy', 'torch', 'pydantic'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parent)}
    command = [sys.executable, "-c", program]
    out = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert out.count("\nrunning") == 1000
    cpu_s, *heavy = out.splitlines()[-1].split()
    assert not heavy
    assert float(cpu_s) < 1
