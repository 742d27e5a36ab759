"""Studies as jobs: what SLURM is asked for, what a failure leaves, several processes, and strings meant for a shell."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from submission import PATIENCE_S, environment, until

DIVERGES = """\
title: One run diverges
dataset: digits
model: {name: mlp, hidden: [16]}
train: {epochs: 1}
grid: {product: {train.optimizer.lr: [0.1, 1.0e+30]}}
"""
FAILS = """\
title: One run starts from what are no weights
dataset: digits
model: {name: mlp, hidden: [16]}
train: {epochs: 1}
grid: {points: [{checkpoint: null}, {checkpoint: bad.pt}]}
"""
PAIR = """\
title: Two processes train one network
dataset: digits
model: {name: mlp, hidden: [16]}
train: {epochs: 200, batch_size: 64, processes: 2}
"""
# Each of these, unquoted or quoted once too little, would make a file named `broken`.
HOSTILE = 'it\'s "$(touch broken)" `touch broken`; touch broken\ntouch broken #'


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def gpus(job):
    """GPUs that a job has asked for, as scontrol tells of them."""
    found = re.search(r"gpu:(?:\w+:)?(\d+)", job.get("TresPerJob", ""))
    return int(found[1]) if found else 0


def test_a_driver_job_runs_a_study_to_its_page(submit, umask):
    submission = submit()
    folder, cluster = submission.folder, submission.cluster
    (folder / ".venv").symlink_to(sys.prefix)
    shutil.rmtree(folder / "results/data")
    site = ["--parsable", "--account=vision", "--partition=cpu", "--time=50", "--mem=1500"]
    words = ["--config", "studies=tiny", "--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "5"]
    sbatch = ["sbatch", *site, "profiles/slurm/driver.sbatch", *words]
    driver = subprocess.run(sbatch, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    page = folder / "results/studies/tiny/index.html"
    ended = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL")
    state = until(lambda: next((s for s in ended if s == submission.state(driver)), None), "the driver", PATIENCE_S)
    told = (folder / f"results/driver-{driver}.log").read_text()
    assert state == "COMPLETED" and page.exists(), told[-4000:]

    jobs = [cluster.job(job) for job in submission.all_jobs() if job != driver]
    asked = sorted((re.match(r"(rule|group)_([a-z]+)", job["Comment"])[2], job["Partition"]) for job in jobs)
    runs = [("evaluate", "gpu")] * 2 + [("page", "cpu"), ("prepare", "cpu")] + [("train", "gpu")] * 2
    assert asked == runs
    for job in jobs:
        assert gpus(job) == (1 if job["Partition"] == "gpu" else 0)
        assert job["Account"] == "vision" and job["Requeue"] == "1" and "ArrayJobId" not in job
    made = [path for path in (folder / "results").rglob("*") if path.is_file() and "data" not in path.parts]
    assert made and all(path.stat().st_mode & umask == 0 for path in made)
    assert (next((folder / "results/runs/train").iterdir()) / "model.safetensors").stat().st_mode & 0o777 == 0o640


@pytest.mark.slow
def test_a_diverging_run_is_one_job_and_the_study_ends_well(submit):
    submission = submit()
    (submission.folder / "config/studies/diverges.yaml").write_text(DIVERGES)
    submission.start("--until", "train", studies="diverges").succeed()
    assert [job["JobState"] for job in map(submission.cluster.job, submission.all_jobs())] == ["COMPLETED"] * 2
    records = [json.loads(path.read_text()) for path in submission.folder.glob("results/runs/train/*/run.json")]
    assert sorted(record["outcome"] for record in records) == ["diverged", "done"]


@pytest.mark.slow
def test_a_run_with_a_mistake_leaves_the_others_running_and_is_begun_once(submit):
    submission = submit()
    (submission.folder / "config/studies/fails.yaml").write_text(FAILS)
    (submission.folder / "bad.pt").write_text("no weights")
    assert submission.start("--until", "train", studies="fails").wait() != 0
    done, failed = [], []
    for job in map(submission.cluster.job, submission.all_jobs()):
        (done if job["JobState"] == "COMPLETED" else failed).append(job)
    assert len(done) == 1 and len(list(submission.folder.glob("results/runs/train/*/model.safetensors"))) == 1
    # Retries of a rule, not of the profile, would be ten (D4).
    assert len(failed) == 3 and {job["JobState"] for job in failed} == {"FAILED"}
    assert submission.told().count("ERROR bad.pt: it is damaged") == 1
    assert "not tried again in this call" in submission.told()


@pytest.mark.slow
def test_two_processes_share_a_job_and_have_a_gpu_each(submit):
    submission = submit()
    (submission.folder / "config/studies/pair.yaml").write_text(PAIR)
    submission.start("--until", "train", studies="pair")
    job, process = submission.training()
    seen = environment(process)
    assert len(set(seen["CUDA_VISIBLE_DEVICES"].split(","))) == 2
    assert gpus(submission.cluster.job(job)) == 2
    submission.succeed()
    assert len(submission.all_jobs()) == 1
    log = (submission.run() / "run.log").read_text()
    assert log.count("best epoch") == 1, "only the main process tells"


def test_settings_never_reach_a_shell(submit, tmp_path):
    images = tmp_path / HOSTILE
    draw = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("one", "$(touch broken)"):
            (images / split / name).mkdir(parents=True)
            for number in range(20):
                Image.fromarray(draw.integers(0, 255, (8, 8, 3), np.uint8)).save(
                    images / split / name / f"{number}.png"
                )
    study = {
        "title": HOSTILE,
        "dataset": {"name": "folder", "path": str(images), "image_size": 8},
        "model": {"name": "mlp", "hidden": [8]},
        "train": {"epochs": 1, "batch_size": 8},
    }
    submission = submit()
    # What is JSON is YAML too.
    (submission.folder / "config/studies/hostile.yaml").write_text(json.dumps(study))
    submission.start("--until", "train", studies="hostile").succeed()
    assert list(submission.folder.glob("results/runs/train/*/model.safetensors"))
    assert not list(tmp_path.rglob("broken"))


def test_a_study_is_no_command(submit):
    submission = submit()
    name = "a; touch broken #"
    (submission.folder / f"config/studies/{name}.yaml").write_text(FAILS)
    assert submission.start(studies=json.dumps([name])).wait() != 0
    assert "is no name for a study" in submission.told()
    assert not list(Path(submission.folder).rglob("broken")) and not submission.all_jobs()
