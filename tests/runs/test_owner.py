"""One live owner a folder, whatever becomes of its process; every owner here is a process of its own."""

import os
import platform
import signal
import subprocess
import sys
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


def test_whoever_is_asked_to_stop_waits_no_longer(tmp_path):
    with process(OWNS, tmp_path) as first:
        first.stdout.readline()
        stop = iter([None, "SIGTERM"]).__next__
        with pytest.raises(Interrupted, match="SIGTERM, while another process makes"), owner.owning(tmp_path, stop):
            pytest.fail("two own it")
        assert owner.owner(tmp_path)["pid"] == first.pid


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
