"""Rungs as jobs and in a pilot: the same decisions as without SLURM, the same bits, and nothing of what was stopped."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from submission import copy_repository, until

from support.snakemake_as_run import SNAKEMAKE, of_a_user

STUDY = """\
title: Four rates, of which two go on
dataset: digits
model: {name: mlp, hidden: [16]}
train: {epochs: 3, optimizer: {name: sgd, lr: 0.1}}
grid: {product: {train.optimizer.lr: [0.0001, 0.2, 0.1, 0.001]}}
halving: {epochs: [1, 3], keep: 1/2}
tables: [halving]
"""
WORDS = ("--config", "studies=halved")
ASKED = ["--account=vision", "--partition=gpu", "--gpus=1", "--cpus-per-task=4", "--mem=6000", "--time=50"]


def asking(folder: Path) -> Path:
    (folder / "config/studies/halved.yaml").write_text(STUDY)
    return folder


def found(folder: Path) -> tuple[dict[str, bytes], dict[str, tuple[int, str | None]]]:
    """Each answer; and of each training its epochs and its network's SHA-256, None where it has no record."""
    trainings = {}
    for history in folder.glob("results/runs/train/*/history.csv"):
        model, whole = history.with_name("model.safetensors"), history.with_name("run.json").exists()
        assert model.exists() == whole
        digest = hashlib.sha256(model.read_bytes()).hexdigest() if whole else None
        trainings[history.parent.name] = len(history.read_text().splitlines()) - 1, digest
    answers = folder.glob("results/studies/halved/answers/*.json")
    return {path.name: path.read_bytes() for path in answers}, trainings


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What the study leaves without SLURM."""
    folder = asking(copy_repository(tmp_path_factory.mktemp("plain") / "repository"))
    subprocess.run([SNAKEMAKE, "-c1", *WORDS], cwd=folder, env=of_a_user(), capture_output=True, check=True)
    answers, trainings = found(folder)
    assert len(answers) == 1 and sorted(epochs for epochs, _ in trainings.values()) == [1, 1, 3, 3]
    assert all((digest is None) == (epochs == 1) for epochs, digest in trainings.values())
    return answers, trainings


@pytest.mark.slow
def test_rungs_as_jobs_decide_as_without_slurm(submit, plain):
    submission = submit()
    asking(submission.folder)
    submission.start(studies="halved").succeed()
    assert found(submission.folder) == plain
    jobs = [submission.cluster.job(job) for job in submission.all_jobs()]
    asked = sorted((re.match(r"rule_([a-z]+)", job["Comment"])[1], job["Partition"]) for job in jobs)
    runs = [("evaluate", "gpu")] * 2 + [("page", "cpu")] + [("rung", "gpu")] * 4 + [("train", "gpu")] * 2
    assert asked == runs and {job["JobState"] for job in jobs} == {"COMPLETED"}


@pytest.mark.slow
def test_rungs_in_a_pilot_decide_as_without_slurm(submit, plain):
    submission = submit()
    folder = asking(submission.folder)
    (folder / ".venv").symlink_to(sys.prefix)
    sbatch = ["sbatch", "--parsable", *ASKED, "--output=results/pilot.log", "profiles/pilot/pilot.sbatch"]
    words = [*sbatch, "--cores", "4", *WORDS]
    job = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    try:
        until(lambda: submission.state(job) in ("COMPLETED", "FAILED", "TIMEOUT"), "the pilot")
        assert submission.state(job) == "COMPLETED", (folder / "results/pilot.log").read_text()[-4000:]
    finally:
        subprocess.run(["scancel", job], check=False)
    assert found(folder) == plain and submission.all_jobs() == [job]
