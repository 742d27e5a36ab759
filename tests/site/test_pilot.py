"""Slots as processes claim them, in the pilot's own workflow and out of it."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from espalier.errors import Interrupted, Mistake
from espalier.plan.build import build
from espalier.plan.priorities import priorities
from espalier.site import file_lock
from espalier.site.pilot import slots
from espalier.site.pilot.board import Pilot
from espalier.site.pilot.gpus import gpus, listed
from espalier.site.pilot.slots import CPU, Slots
from support.scripts_as_run import ENVIRONMENT, ROOT, preloaded

TWO = ("GPU-a", "GPU-b")
HEADER = f"import os, sys, time\nsys.path.insert(0, {str(ROOT)!r})\nfrom pathlib import Path\n"


@pytest.fixture(autouse=True)
def own_slots(monkeypatch, tmp_path_factory):
    """Pilots share slots and their end with whatever pilot the user has at work on this machine, and not with tests."""
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("slots")))


def python(code, *words, **more):
    """A process that runs `code`; the environment's pilot is the one in `more`."""
    command = [sys.executable, "-c", HEADER + textwrap.dedent(code), *map(str, words)]
    return subprocess.Popen(command, env=ENVIRONMENT | more, stdout=subprocess.PIPE, text=True)


def taken(folder):
    """Slots that are locked now."""
    return [path.name for path in sorted(folder.iterdir()) if file_lock.holder(path)]


RACER = """
from espalier.site.pilot.slots import Slots
found = Slots(Path(sys.argv[1]), ("GPU-a", "GPU-b"), 2)
for _ in range(25):
    claim = found.claim()
    mark = Path(sys.argv[2], Path(claim.files[0].name).name)
    os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    time.sleep(0.002)
    mark.unlink()
    claim.release()
"""


def test_no_two_of_eight_racing_processes_have_the_same_slot(tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    racers = [python(RACER, tmp_path / "slots", marks) for _ in range(8)]
    # A slot that two had at once would end one of them with FileExistsError.
    assert [racer.wait() for racer in racers] == [0] * 8
    assert taken(tmp_path / "slots") == []


HOLDER = """
from espalier.site.pilot.slots import Slots
claim = Slots(Path(sys.argv[1]), tuple(sys.argv[3:]), 1).claim(alone=sys.argv[2] == "alone")
print(*claim.devices, flush=True)
time.sleep(600)
"""


def holder(folder, how, *devices):
    process = python(HOLDER, folder, how, *devices)
    process.stdout.readline()
    return process


@pytest.mark.parametrize("how", ["shared", "alone"])
def test_a_killed_process_frees_its_slot(how, tmp_path):
    first = holder(tmp_path, how, "GPU-a")
    second = python(HOLDER, tmp_path, how, "GPU-a")
    time.sleep(0.5)
    assert second.poll() is None
    assert taken(tmp_path) == (["GPU-a.0", "GPU-a.alone"] if how == "alone" else ["GPU-a.0"])
    first.kill()
    first.wait()
    assert second.stdout.readline() == "GPU-a\n"
    second.kill()
    second.wait()
    assert taken(tmp_path) == []


def test_runs_spread_over_the_gpus_and_processes_share_none(tmp_path):
    found = Slots(tmp_path, TWO, 3)
    claims = [found.claim() for _ in range(4)]
    assert sorted(device for claim in claims for device in claim.devices) == ["GPU-a", "GPU-a", "GPU-b", "GPU-b"]
    assert sorted(found.claim(2).devices) == list(TWO)
    with pytest.raises(Mistake, match="3 is more than the 2"):
        found.claim(3)
    assert Slots(tmp_path / "cpu", (CPU,), 3).claim(3).devices == (CPU,) * 3


def test_who_wants_a_gpu_alone_waits_for_it_and_keeps_others_away(tmp_path):
    here = Slots(tmp_path, TWO, 1)
    before = here.claim()
    other = here.claim()
    waiting = python(HOLDER, tmp_path, "alone", *TWO)
    while not (bars := [path.stem for path in tmp_path.glob("*.alone") if file_lock.holder(path) == waiting.pid]):
        time.sleep(0.05)
    (barred,) = bars
    mine, theirs = (before, other) if before.devices == (barred,) else (other, before)
    theirs.release()
    # Its GPU is not given away although the other one is taken again.
    assert here.claim().devices == theirs.devices
    assert waiting.poll() is None
    mine.release()
    assert waiting.stdout.readline() == f"{barred}\n"
    waiting.kill()
    waiting.wait()


def test_closed_slots_are_given_to_nobody_and_their_holders_are_named(tmp_path):
    held = holder(tmp_path, "shared", *TWO)
    assert slots.close(tmp_path) == [held.pid]
    with pytest.raises(Interrupted, match="pilot ends"):
        Slots(tmp_path, TWO, 1).claim()
    held.kill()
    held.wait()


def test_a_run_sees_the_gpu_of_its_slot_and_its_share_of_the_cores(tmp_path):
    pilot = Pilot(Slots(tmp_path, TWO, 1), threads=3)
    code = """
        from espalier.site import device
        import torch
        before = os.environ["CUDA_VISIBLE_DEVICES"]
        threads = device.prepare()
        assert threads == torch.get_num_threads() == device.prepare()
        print(before, os.environ["CUDA_VISIBLE_DEVICES"], threads, flush=True)
        sys.stdin.read()
    """
    words = [sys.executable, "-c", HEADER + textwrap.dedent(code)]
    environment = ENVIRONMENT | pilot.environment | {"CUDA_VISIBLE_DEVICES": "0,1"}
    runs = [
        subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [run.stdout.readline().split() for run in runs]
    assert sorted(said) == [["0,1", "GPU-a", "3"], ["0,1", "GPU-b", "3"]]
    for run in runs:
        run.communicate()
    assert taken(tmp_path) == []


GROUP = """
from espalier.site import ranks

def main():
    folder, processes = Path(sys.argv[1]), int(sys.argv[2])
    if not ranks.launched():
        from espalier.stages.frame.launch import launch
        sys.exit(launch(folder, processes))
    ranks.follow_launcher()
    words = [os.environ[name] for name in ("LOCAL_RANK", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")]
    (folder / f"rank{ranks.rank()}").write_text(" ".join(words))
    while not (folder / "end").exists():
        time.sleep(0.02)

main()
"""


@pytest.fixture
def grouped(tmp_path):
    """Start a run of several processes under a pilot: grouped(pilot, processes) → process, folder."""
    (tmp_path / "grouped.py").write_text(HEADER + GROUP)
    made = []

    def grouped(pilot, processes):
        folder = tmp_path / f"run-{len(made)}"
        words = [sys.executable, str(tmp_path / "grouped.py"), str(folder), str(processes)]
        environment = ENVIRONMENT | pilot.environment | {"CUDA_VISIBLE_DEVICES": "0"}
        made.append(subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True))
        return made[-1], folder

    yield grouped
    for process in made:
        process.kill()
        process.wait()
        process.stderr.close()


def test_each_process_of_a_run_has_a_slot_a_gpu_and_the_threads_of_a_slot(grouped, tmp_path):
    pilot = Pilot(Slots(tmp_path / "slots", TWO, 2), threads=3)
    one = pilot.slots.claim()
    process, folder = grouped(pilot, 2)
    while len([path for path in folder.glob("rank?") if path.stat().st_size]) < 2:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    said = [(folder / f"rank{rank}").read_text().split() for rank in range(2)]
    # Each takes the GPU of its number among those that its run has claimed.
    assert [rank for rank, _, _ in said] == ["0", "1"]
    assert {tuple(sorted(seen.split(","))) for _, seen, _ in said} == {TWO}
    assert [threads for _, _, threads in said] == ["3", "3"]
    held = {path.name: file_lock.holder(path) for path in (tmp_path / "slots").iterdir()}
    mine = [name for name, holder in held.items() if holder == process.pid]
    assert sorted(name.split(".")[0] for name in mine) == list(TWO)
    assert Path(one.files[0].name).name not in mine
    (folder / "end").touch()
    assert process.wait() == 0
    assert taken(tmp_path / "slots") == [Path(one.files[0].name).name]


def test_more_processes_than_a_pilot_has_slots_are_refused(grouped, tmp_path):
    process, folder = grouped(Pilot(Slots(tmp_path / "slots", TWO, 4), threads=1), 3)
    _, told = process.communicate()
    assert process.returncode == 2
    assert "processes: 3 is more than the 2 that this machine has a slot for; lower it" in told
    assert "Traceback" not in told and not list(folder.glob("rank?"))


def test_processes_do_not_begin_when_the_pilot_ends(grouped, tmp_path):
    pilot = Pilot(Slots(tmp_path / "slots", (CPU,), 4), threads=1)
    pilot.slots.claim().release()
    slots.close(tmp_path / "slots")
    process, folder = grouped(pilot, 2)
    _, told = process.communicate()
    assert process.returncode == 75 and "the pilot ends" in told
    assert json.loads((folder / "heartbeat.json").read_text())["state"] == "requeue"


def test_gpus_are_named_as_the_driver_lists_them(monkeypatch):
    text = (
        "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)\n"
        "  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)\n"
        "  MIG 3g.20gb     Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)\n"
        "GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-0f2c2ff6-8b1c-4f65-8f2a-1e4b7d5d9c11)\n"
    )
    cut, whole = listed(text)
    assert [name[:8] for name in cut] == ["MIG-c6d4", "MIG-cba6"] and [name[:5] for name in whole] == ["GPU-0"]
    monkeypatch.setattr("espalier.site.pilot.gpus._found", lambda: listed(text))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert gpus() == whole + cut
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == ()


HUNGRY = """
from espalier.runs.log import recording
from espalier.site import device
from espalier.stages.frame.command_line import _told_to_pilot

SIZES = {"small": 1, "large": 6}
MEMORY = 8

def main():
    folder, kind = Path(sys.argv[1]), sys.argv[2]
    with recording(folder):
        with (folder / "attempts").open("a") as file:
            file.write("+")
        device.prepare()
        import torch
        used = folder.parent / "used"
        used.mkdir(exist_ok=True)
        mine = used / f"{folder.name}.{SIZES[kind]}"
        mine.touch()
        failed = lambda: list(folder.parent.glob("*/again"))
        try:
            while kind == "large" and len(list(used.glob("*.6"))) < 2 and not failed():
                time.sleep(0.02)
            if sum(int(path.suffix[1:]) for path in used.iterdir()) > MEMORY:
                (folder / "again").touch()
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 6.00 GiB")
            # The one that was lucky stays until the other has come again, which would now fail beside it.
            while kind == "large" and (folder / "attempts").read_text() == "+":
                if any(path.with_name("attempts").read_text() == "++" for path in failed()):
                    break
                time.sleep(0.02)
            time.sleep(0.5)
            (folder / "done").write_text(str(len(list(used.iterdir()))))
        finally:
            mine.unlink()

with _told_to_pilot():
    main()
"""
WORKFLOW = """
import os, sys
from pathlib import Path
sys.path.insert(0, {scripts!r})
from espalier.site.pilot.board import Pilot
from espalier.site.pilot.slots import Slots
os.environ.update(Pilot(Slots(Path("slots"), ("GPU-a",), 3), 1).environment)
RUNS = {{"a": "large", "b": "large", "c": "small", "d": "small"}}
rule all:
    input: expand("{{run}}/done", run=RUNS)
rule one:
    output: "{{run}}/done"
    params: kind=lambda wildcards: RUNS[wildcards.run]
    resources: gpu_slot=1
    shell: "{python} hungry.py {{wildcards.run}} {{params.kind}} 2>> {{wildcards.run}}.log"
"""


@pytest.mark.slow
def test_a_run_out_of_memory_is_tried_again_alone(tmp_path):
    (tmp_path / "hungry.py").write_text(HEADER + HUNGRY)
    (tmp_path / "Snakefile").write_text(WORKFLOW.format(scripts=str(ROOT), python=sys.executable))
    snakemake = Path(sys.executable).with_name("snakemake")
    words = ["-c4", "--resources", "gpu_slot=3", "--retries", "1", "-q"]
    done = subprocess.run(
        [snakemake, *words], cwd=tmp_path, env=preloaded(), capture_output=True, text=True, check=False
    )
    logs = "".join(path.read_text() for path in sorted(tmp_path.glob("?.log")))
    assert done.returncode == 0, done.stderr + logs
    failed = [path.parent.name for path in tmp_path.glob("?/again")]
    assert {"a", "b"} & set(failed)
    assert logs.count("ERROR OutOfMemoryError: CUDA out of memory") == len(failed)
    # Nobody else used the GPU while these ran again, and what they had noted is gone.
    assert {(tmp_path / run / "done").read_text() for run in failed} == {"1"}
    assert taken(tmp_path / "slots") == [] == list((tmp_path / "slots").glob("*.needs_all"))


STUDY = """title: {title}
dataset: digits
model: {{name: resnet, blocks: [1], channels: [4]}}
train: {{epochs: 1, batch_size: 128}}
grid: {{product: {{train.epochs: {epochs}}}}}
tables: [summary]
"""


def test_priority_counts_training_from_a_run_to_the_end_of_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid = "    model: [{name: resnet, blocks: [1], channels: [4]}, {name: resnet, blocks: [2], channels: [8]}]\n"
    text = STUDY.format(title="order", epochs="[1, 4]").replace("grid: {product: {train.epochs: [1, 4]}}", "")
    text += f"fine_tune: {{epochs: 3}}\ngrid:\n- product:\n    train.epochs: [1, 4]\n{grid}"
    text += "- product:\n    train.epochs: [4]\n    prune: {weights: {name: magnitude, ratio: 0.5}}\n"
    (tmp_path / "order.yaml").write_text(text)
    plan = build(["order"], tmp_path)
    found = priorities(plan)
    train = {(run.spec.model.channels, run.spec.train.epochs): found[name] for name, run in plan.runs["train"].items()}
    (prune,) = (found[name] for name in plan.runs["prune"])
    assert set(found) == {*plan.runs["train"], *plan.runs["prune"]}
    assert max(found.values()) == 0 and min(found.values()) > -1
    wide = ((8,), 4), ((8,), 1)
    assert train[wide[0]] == pytest.approx(0)
    assert 1 + train[wide[1]] == pytest.approx(1 / 4)
    (narrow,) = {channels for channels, _ in train if channels != (8,)}
    # Three epochs of fine-tuning follow the four.
    assert (1 + train[narrow, 4]) / (1 + train[narrow, 1]) == pytest.approx(7)
    assert (1 + prune) / (1 + train[narrow, 1]) == pytest.approx(3)


@pytest.fixture
def stocked(repository, finished):
    """A fresh copy that has the digits."""
    shutil.copytree(finished.folder / "results/data", repository.folder / "results/data")
    return repository


@pytest.mark.slow
def test_a_pilot_takes_the_longest_runs_first_and_each_writes_what_it_writes_alone(stocked, tmp_path):
    text = STUDY.format(title="four lengths", epochs="[2, 12, 1, 6]")
    (stocked.folder / "config/studies/lengths.yaml").write_text(text)
    done = stocked.snakemake(
        *("-p", "--profile", "profiles/pilot", "--cores", "2", "--until", "train", "--config", "studies=lengths")
    )
    begun = re.findall(r"rule train:.*?wildcards: run=(\S+)", done.stdout + done.stderr, re.DOTALL)
    folders = [stocked.folder / "results/runs/train" / run for run in begun]
    epochs = [len(rows(folder / "history.csv")) for folder in folders]
    # Two begin at once, in an order that is nobody's promise.
    assert [set(epochs[:2]), set(epochs[2:])] == [{12, 6}, {2, 1}]

    for packed in (folders[epochs.index(6)], folders[epochs.index(1)]):
        record = json.loads((packed / "run.json").read_text())
        _, name, stage, _, *words = shlex.split(record["command"])
        solo = tmp_path / packed.name
        command = [sys.executable, name, stage, str(solo), *words]
        subprocess.run(command, cwd=stocked.folder, env=preloaded(), capture_output=True, check=True)
        for table in ("history.csv", "metrics.csv"):
            assert rows(packed / table) == rows(solo / table)
        assert (packed / "model.safetensors").read_bytes() == (solo / "model.safetensors").read_bytes()


DRIVER = """#!/bin/sh
echo "GPU 0: NVIDIA H100 (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)"
"""
SERVER = """#!/bin/sh
if [ "$1" = -d ]; then echo started > {told}; else cat >> {told}; fi
"""
APPTAINER = """#!/bin/sh
[ "$1 $2 $3 $5" = "exec --nv --bind espalier.sif" ] && [ -d "$4" ] || exit 1
shift 5
echo "$1" >> {told}
exec "$@"
"""


# Without an image its programs are called by the same lines, with no word before them.
@pytest.mark.parametrize("image", [pytest.param("", marks=pytest.mark.slow), "espalier.sif"])
def test_the_batch_script_saves_what_runs_when_its_time_is_over(stocked, tmp_path, image):
    """Without SLURM, and with programs in place of Apptainer and of the driver's that a machine without a GPU lacks."""
    (stocked.folder / "config/studies/long.yaml").write_text(STUDY.format(title="long", epochs="[100000]"))
    told = tmp_path / "told"
    programs = {"nvidia-smi": DRIVER, "nvidia-cuda-mps-control": SERVER.format(told=told)}
    programs["apptainer"] = APPTAINER.format(told=tmp_path / "inside")
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    words = ["bash", "profiles/pilot/pilot.sbatch", "--until", "train", "--config", "studies=long"]
    environment = ENVIRONMENT | {"PATH": path, "TMPDIR": str(scratch), "ESPALIER_IMAGE": image}
    with (tmp_path / "output").open("w") as output:
        process = subprocess.Popen(words, cwd=stocked.folder, env=environment, stdout=output, stderr=output)
        runs = stocked.folder / "results/runs/train"
        while not list(runs.glob("*/history.csv")):
            assert process.poll() is None, (tmp_path / "output").read_text()
            time.sleep(0.1)
        process.send_signal(signal.SIGUSR1)
        assert process.wait() == 75, (tmp_path / "output").read_text()
    (run,) = runs.iterdir()
    assert json.loads((run / "heartbeat.json").read_text())["state"] == "requeue"
    assert (run / "checkpoint/latest.safetensors").exists()
    assert told.read_text().split() == ["started", "quit"]
    assert list(scratch.iterdir()) == []
    if image:
        assert (tmp_path / "inside").read_text().split() == ["python", "snakemake", "python"]


def rows(path):
    """A table without what depends on the machine's mood."""
    moods = ("images_per_s", "epoch_s", "wall_s", "cpu_s", "peak_memory_mib")
    with path.open() as file:
        return [{key: value for key, value in row.items() if key not in moods} for row in csv.DictReader(file)]
