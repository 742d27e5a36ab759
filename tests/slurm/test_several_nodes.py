"""One network trained on two nodes: the losses of one process, a prompt end with whichever dies, nothing left over."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest
from submission import bits, environment, until
from test_studies import gpus

STUDY = """\
title: Two nodes train one network
dataset: digits
model: {{name: mlp, hidden: [32]}}
train: {{epochs: {epochs}, batch_size: 53, optimizer: {{name: sgd, lr: 0.05}}, processes: 2, nodes: 2}}
"""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@pytest.fixture
def spread(submit):
    def spread(epochs):
        submission = submit()
        (submission.folder / "config/studies/spread.yaml").write_text(STUDY.format(epochs=epochs))
        return submission.start("--until", "train", studies="spread")

    return spread


def ranks(submission):
    """The processes that train: rank → process, its node."""
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.cwd() == str(submission.folder) and "RANK" in (seen := environment(process.pid)):
                found[int(seen["RANK"])] = process, seen["SLURMD_NODENAME"]
    return found


def trained_here(submission, folder, *words):
    """Train what the submission's run has trained, by its own command line, without SLURM and in another folder."""
    script, _, *given = shlex.split(json.loads((submission.run() / "run.json").read_text())["command"])[1:]
    command = [sys.executable, script, str(folder), *given, *words]
    plain = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    done = subprocess.run(command, cwd=submission.folder, env=plain | ONE_THREAD, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def losses(folder):
    rows = csv.DictReader((folder / "history.csv").open())
    return [float(row[name]) for row in rows for name in ("train_loss", "validation_loss")]


def listening(submission):
    """Addresses at which the scripts of this folder listen; srun has ports of its own, as it has for any job."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            words = process.cmdline()
            if process.cwd() == str(submission.folder) and any(word.endswith("/train.py") for word in words[:2]):
                found |= {each.laddr.ip for each in process.net_connections() if each.status == psutil.CONN_LISTEN}
    return found


def left(folder):
    """What a run leaves in its folder that one process does not."""
    return [path.name for path in folder.iterdir() if "meeting" in path.name]


def test_two_nodes_have_the_losses_of_one_process(spread, tmp_path):
    submission = spread(epochs=2)
    submission.succeed()
    (number,) = submission.all_jobs()
    job = submission.cluster.job(number)
    assert job["NumNodes"] == "2" and job["NodeList"] == "g[1-2]"
    assert gpus(job) == 2 and job["TresPerNode"].endswith("gpu:1")

    run = submission.run()
    log = (run / "run.log").read_text()
    assert log.count("best epoch") == log.count("MACs, on") == 1, "only the main process tells, and once"
    assert not {"ERROR", "WARNING", "error:"} & set(log.split())
    assert not left(run)

    alone = tmp_path / "alone-0000000001"
    trained_here(submission, alone, "train.processes=1", "train.nodes=1")
    assert losses(run) == pytest.approx(losses(alone), rel=1e-5)
    assert json.loads((run / "run.json").read_text())["threads"] == 1


def test_whoever_dies_or_is_asked_to_stop_on_a_node_the_run_goes_on_with_the_same_bits(spread, tmp_path):
    submission = spread(epochs=150)
    job, _ = submission.training()
    found = until(lambda: len(seen := ranks(submission)) == 2 and seen, "two ranks")
    assert [found[rank][1] for rank in (0, 1)] == ["g1", "g2"]
    for process, _ in found.values():
        seen = environment(process.pid)
        assert len(seen["CUDA_VISIBLE_DEVICES"].split(",")) == 1
        assert seen["LOCAL_RANK"] == "0"
    assert listening(submission) == {"127.0.0.1"}, "the interface between these nodes, and no other"

    os.kill(found[1][0].pid, signal.SIGKILL)
    # A process that waited for the dead one would wait a quarter of an hour.
    until(lambda: submission.state(job) == "FAILED", "the job's end", 300)
    assert not ranks(submission) and not listening(submission)
    until(lambda: "rank 1 was ended by SIGKILL" in submission.told(), "the log to be shown")

    second, _ = until(lambda: submission.training()[0] != job and submission.training(), "the second attempt")
    found = until(lambda: len(seen := ranks(submission)) == 2 and seen, "two ranks again")
    log = submission.run() / "run.log"
    # Snakemake removes it before each attempt.
    until(lambda: log.exists() and "resumed at epoch" in log.read_text(), "the run to go on")
    os.kill(found[1][0].pid, signal.SIGUSR1)
    until(lambda: "another process was asked to stop: stopped after step" in submission.told(), "the stop")
    submission.succeed()

    jobs = submission.all_jobs()
    assert [submission.state(each) for each in jobs] == ["FAILED", "FAILED", "COMPLETED"] and jobs[1] == second
    assert log.read_text().count("resumed at epoch") == 1
    assert not left(submission.run())
    # Outside a SLURM job the same command starts all of its processes here.
    together = tmp_path / "together/results/runs/train/together-0000000002"
    trained_here(submission, together)
    assert bits(submission.folder) == bits(tmp_path / "together")
