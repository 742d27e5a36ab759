"""One live owner a folder, whatever becomes of its process.

A lock is of an open file, so a test may hold one and look at it; where a process ends, it is one of its own.
"""

import errno
import json
import os
import platform
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager

import pytest

from espalier.errors import Interrupted
from espalier.runs import owner

OWNS = """
import sys
from pathlib import Path
from espalier.runs.owner import owning
with owning(Path(sys.argv[1])):
    print("owns", flush=True)
    sys.stdin.read()
"""
LEAVES = """
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from espalier.files import replacing
with ExitStack() as stack:
    for path in sys.argv[1:]:
        stack.enter_context(replacing(Path(path)))
    print("owns", flush=True)
    sys.stdin.read()
"""
HANDS_ON = """
import subprocess, sys
from pathlib import Path
from espalier.runs.owner import owning
with owning(Path(sys.argv[1])) as file:
    child = subprocess.Popen(["sleep", "60"], pass_fds=[file.fileno()])
    print(child.pid, flush=True)
    sys.stdin.read()
"""
IN_TURN = """
import sys, time
from pathlib import Path
from espalier.runs import owner
owner._LOOK_S = 0.001
folder = Path(sys.argv[1])
for _ in range(20):
    with owner.owning(folder):
        inside = folder / "inside"
        inside.touch(exist_ok=False)
        time.sleep(0.002)
        inside.unlink()
"""


@contextmanager
def process(program, *words):
    """A process of this library, which goes on until its standard input ends."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", program, *words], env=environment, text=True, **pipes) as started:
        try:
            yield started
        finally:
            started.kill()


def by_itself(started):
    started.stdin.close()
    assert started.wait() == 0


def killed(started):
    started.kill()
    assert started.wait() == -signal.SIGKILL


@pytest.mark.parametrize("end", [by_itself, killed])
def test_a_second_owner_waits_for_the_first_and_goes_on(end, tmp_path):
    with process(OWNS, tmp_path) as first:
        assert first.stdout.readline() == "owns\n"
        said = owner.owner(tmp_path)
        assert said == {"pid": first.pid, "host": platform.node(), "job": os.environ.get("SLURM_JOB_ID")}
        with process(OWNS, tmp_path) as second:
            assert f"is being made by {owner.words(said)}; waiting for its end" in second.stderr.readline()
            end(first)
            assert second.stdout.readline() == "owns\n"
            assert owner.owner(tmp_path)["pid"] == second.pid
            by_itself(second)
    assert owner.owner(tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_of_many_owners_one_is_inside_at_a_time(tmp_path):
    with ExitStack() as stack:
        for started in [stack.enter_context(process(IN_TURN, tmp_path)) for _ in range(3)]:
            assert started.wait() == 0, started.stderr.read()
    assert not list(tmp_path.iterdir())


def test_a_killed_owner_owns_no_more_and_looking_makes_no_file(tmp_path):
    assert owner.owner(tmp_path) is None and not list(tmp_path.iterdir())
    with process(OWNS, tmp_path) as first:
        first.stdout.readline()
        killed(first)
    assert (tmp_path / owner.NAME).exists()
    assert owner.owner(tmp_path) is None


def test_a_child_that_has_the_lock_owns_as_long_as_it_lives(tmp_path):
    with process(HANDS_ON, tmp_path) as parent:
        child = int(parent.stdout.readline())
        killed(parent)
        assert owner.owner(tmp_path) is not None
        os.kill(child, signal.SIGKILL)
        owner.await_all([tmp_path], lambda line: None, every_s=0.01)


def test_a_call_awaits_the_runs_of_an_earlier_one_and_says_whose_they_are(tmp_path):
    folders = [tmp_path / name for name in ("one", "two", "none")]
    with process(OWNS, folders[0]) as one, process(OWNS, folders[1]) as two:
        for each in (one, two):
            each.stdout.readline()
        told = []

        def end(line):
            told.append(line)
            killed(one)
            by_itself(two)

        owner.await_all(folders, end, every_s=0.01)
    assert len(told) == 1 and "2 runs" in told[0]
    assert all(f"process {each.pid} on {platform.node()}" in told[0] for each in (one, two))


def test_what_a_killed_process_was_writing_is_swept_and_nothing_else(tmp_path):
    kept = [*("run.json", "run.log", ".owner", ".gitignore", ".hidden.csv", ".run.json.swp", ".env.template")]
    kept = [tmp_path / name for name in (*kept, "a.b.abcdefgh.csv", "checkpoint/latest.safetensors")]
    targets = ("model.safetensors", "run.json", "checkpoint/latest.safetensors")
    (tmp_path / "checkpoint").mkdir()
    for path in kept:
        path.touch()
    with process(LEAVES, *(tmp_path / name for name in targets)) as writer:
        writer.stdout.readline()
        killed(writer)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == len(kept) + len(targets)
    owner.sweep(tmp_path)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(kept)


def test_beside_the_record_of_a_run_nothing_is_left_unless_somebody_owns_it(tmp_path):
    checkpoint = tmp_path / "checkpoint/latest.safetensors"
    checkpoint.parent.mkdir()
    for path in (checkpoint, tmp_path / ".run.json.01234567.json", tmp_path / "run.json"):
        path.touch()
    with process(OWNS, tmp_path) as first:
        first.stdout.readline()
        owner.sweep_complete(tmp_path)
        assert checkpoint.exists()
        killed(first)
    owner.sweep_complete(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_an_owner_says_who_it_is_while_it_owns(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    said = {"pid": os.getpid(), "host": platform.node(), "job": "17"}
    folder = tmp_path / "deep/run"
    with owner.owning(folder) as file:
        assert file.name == str(folder / ".owner")
        assert json.loads((folder / ".owner").read_text()) == owner.owner(folder) == said
    assert owner.owner(folder) is None and not [*folder.iterdir()]


def test_one_file_of_a_folder_has_an_owner_of_its_own(tmp_path):
    name = owner.name_for(tmp_path / "digits.safetensors")
    assert name == ".digits.safetensors.owner"
    with owner.owning(tmp_path, name=name), owner.owning(tmp_path):
        assert owner.owner(tmp_path, name)["pid"] == owner.owner(tmp_path)["pid"] == os.getpid()


@pytest.mark.parametrize("text", ["", "{"])
def test_an_owner_that_has_not_said_who_it_is_is_one(text, tmp_path):
    with owner.owning(tmp_path):
        (tmp_path / owner.NAME).write_text(text)
        assert owner.owner(tmp_path) == {}
    assert owner.words({}) == "process unknown on an unknown machine"


def test_an_owner_is_named_with_its_job():
    assert owner.words({"pid": 5, "host": "node1", "job": None}) == "process 5 on node1"
    assert owner.words({"pid": 5, "host": "node1", "job": "17"}) == "process 5 on node1 (SLURM job 17)"


def test_the_second_look_in_vain_is_told_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(owner, "_LOOK_S", 0.0)
    name = owner.name_for("digits.safetensors")
    with owner.owning(tmp_path, name=name):
        for looks, lines in ((1, 0), (2, 1), (5, 1)):
            caplog.clear()
            stop = iter([None] * (looks - 1) + ["SIGTERM"]).__next__
            with pytest.raises(Interrupted) as error, owner.owning(tmp_path, stop, name):
                pytest.fail("two own it")
            assert str(error.value) == f"SIGTERM, while another process makes {tmp_path}"
            who = owner.words(owner.owner(tmp_path, name))
            assert caplog.messages == [f"{tmp_path} is being made by {who}; waiting for its end"] * lines


def test_who_locks_a_file_as_its_owner_removes_it_locks_the_next_one(tmp_path, monkeypatch):
    take, files = owner.file_lock.take, []

    def take_late(path, **how):
        files.append(take(path, **how))
        if len(files) == 1:
            path.unlink()
        return files[-1]

    monkeypatch.setattr(owner.file_lock, "take", take_late)
    with owner.owning(tmp_path) as file:
        assert file is files[1] and files[0].closed
        assert json.loads((tmp_path / owner.NAME).read_text())["pid"] == os.getpid()


def test_without_locks_the_run_says_so_and_goes_on(tmp_path, monkeypatch, caplog):
    def no_locks(path, **how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(owner.file_lock, "take", no_locks)
    path = tmp_path / owner.NAME
    with owner.owning(tmp_path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
        assert owner.owner(tmp_path) is None
    why = "cannot be locked ([Errno 37] No locks available): nothing keeps a second process out of the folder"
    assert caplog.messages == [f"{path} {why}"]
    assert path.exists(), "it may be another's"


def test_a_lock_on_a_file_that_its_owner_has_removed_is_none(tmp_path):
    path = tmp_path / owner.NAME
    with path.open("a+") as file:
        assert owner._is(path, file)
        path.unlink()
        assert not owner._is(path, file)
        path.touch()
        assert not owner._is(path, file)


def test_checkpoints_of_a_run_go_when_it_is_complete(tmp_path):
    states = tmp_path / "checkpoint"
    states.mkdir()
    for path in (states / ".latest.safetensors.01234567.safetensors", tmp_path / ".run.json.01234567.json"):
        path.touch()
    (states / "latest.safetensors").touch()
    owner.sweep(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["checkpoint", "latest.safetensors"]
    owner.sweep(tmp_path, complete=True)
    owner.sweep(tmp_path, complete=True)
    assert not [*tmp_path.iterdir()]


def test_what_is_left_beside_a_record_stays_while_somebody_owns_it(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    with owner.owning(tmp_path):
        owner.sweep_complete(tmp_path)
        assert (tmp_path / "checkpoint").exists()
    (tmp_path / owner.NAME).touch()
    for _ in range(2):
        owner.sweep_complete(tmp_path)
        assert not [*tmp_path.iterdir()]


def test_a_call_names_ten_owners_and_returns_when_all_have_ended(tmp_path):
    lines, ended = [], threading.Event()
    with ExitStack() as stack:
        for number in range(11):
            stack.enter_context(owner.owning(tmp_path / f"{number}"))
        who = "; ".join([owner.words(owner.owner(tmp_path / "0"))] * 10)

        def end():
            stack.close()
            ended.set()

        def tell(line):
            lines.append(line)
            threading.Timer(0.05, end).start()

        owner.await_all([tmp_path / f"{number}" for number in range(12)], tell, every_s=0.001)
        ended.wait()
    being = "11 runs of an earlier call are still being made"
    assert lines == [f"{being}, by {who}. This call goes on behind that; kill ends it sooner"]
    assert all(owner.owner(tmp_path / f"{number}") is None for number in range(11))


def test_a_call_that_nobody_is_before_says_nothing(tmp_path):
    owner.await_all([tmp_path], lambda line: pytest.fail(line))
    owner.await_all([], lambda line: pytest.fail(line))


def test_one_run_of_an_earlier_call_is_told_as_one(tmp_path):
    lines = []
    with ExitStack() as stack:
        stack.enter_context(owner.owning(tmp_path))
        owner.await_all([tmp_path], lambda line: (lines.append(line), stack.close()))
    assert lines[0].startswith("1 run of an earlier call is still being made, by process ")
