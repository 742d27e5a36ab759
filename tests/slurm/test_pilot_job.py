"""A pilot as a job: several runs on the GPUs of one allocation, and the same job once more when its time is over."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from submission import bits, until

ASKED = ["--account=vision", "--partition=gpu", "--gpus=2", "--cpus-per-task=4", "--mem=6000", "--time=50"]


def claims(folder):
    """The GPUs of the slots that processes working in a folder hold, one for each slot."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (path / "cwd").readlink() == folder:
                files = {file.readlink() for file in (path / "fd").iterdir()}
                held = [file for file in files if file.parent.name.startswith("espalier-slots-")]
                found += [file.stem for file in held if file.suffix.removeprefix(".").isdigit()]
    return found


def hold(folder, stopped):
    """Stop each run of a folder that has a row of history and is not among the stopped ones: run → process."""
    for history in folder.glob("results/runs/train/*/history.csv"):
        if history.parent not in stopped:
            process = json.loads((history.parent / "heartbeat.json").read_text())["pid"]
            os.kill(process, signal.SIGSTOP)
            stopped[history.parent] = process
    return stopped


def asked_to_end(process):
    """Whether SIGTERM waits for a stopped process."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    pending = next(line.split()[1] for line in lines if line.startswith("ShdPnd"))
    return int(pending, 16) >> signal.SIGTERM - 1 & 1


@pytest.mark.slow
def test_a_pilot_fills_its_gpus_and_goes_on_in_its_next_allocation(submit, undisturbed):
    submission = submit()
    folder, cluster = submission.folder, submission.cluster
    (folder / ".venv").symlink_to(sys.prefix)
    words = ["--cores", "4", "--until", "train", "--config", "studies=steady", "repeats=3"]
    sbatch = ["sbatch", "--parsable", *ASKED, "--output=results/pilot.log", "profiles/pilot/pilot.sbatch", *words]
    job = subprocess.run(sbatch, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    try:
        stopped = {}
        until(lambda: len(hold(folder, stopped)) == 3, "three runs at once", every_s=0.005)
        held = claims(folder)
        assert (len(held), len(set(held))) == (3, 2), f"three slots on two GPUs, not {held}"
        subprocess.run(["scancel", "--batch", "--signal=USR1", job], check=True)
        for process in stopped.values():
            until(lambda process=process: asked_to_end(process), "the pilot's word")
            os.kill(process, signal.SIGCONT)
        until(lambda: cluster.job(job).get("Restarts") == "1", "the next allocation")
        assert len(list(folder.glob("results/runs/train/*/checkpoint/latest.safetensors"))) == 3
        until(lambda: submission.state(job) in ("COMPLETED", "FAILED", "TIMEOUT"), "the pilot")
        assert submission.state(job) == "COMPLETED", (folder / "results/pilot.log").read_text()[-4000:]
    finally:
        subprocess.run(["scancel", job], check=False)
    assert submission.all_jobs() == [job], "the same job, and no other"
    runs = list(folder.glob("results/runs/train/*"))
    assert len(runs) == 3 and all((run / "run.log").read_text().count("resumed at epoch") == 1 for run in runs)
    (name,) = (path.name for path in (undisturbed / "results/runs/train").iterdir())
    for run in runs:
        if run.name != name:
            subprocess.run(["rm", "-r", run], check=True)
    assert bits(folder) == bits(undisturbed)
