"""One network trained on two hosts: over the network between them, with the losses of one process, and a prompt end."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from hosts import ELSEWHERE
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
    def spread(epochs, partition="gpu"):
        submission = submit(partition)
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
    script, stage, _, *given = shlex.split(json.loads((submission.run() / "run.json").read_text())["command"])[1:]
    command = [sys.executable, script, stage, str(folder), *given, *words]
    plain = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    done = subprocess.run(command, cwd=submission.folder, env=plain | ONE_THREAD, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def losses(folder):
    rows = csv.DictReader((folder / "history.csv").open())
    return [float(row[name]) for row in rows for name in ("train_loss", "validation_loss")]


def sockets(submission, node):
    """Those of this folder's scripts on a node; srun has ports of its own, as it has for any job."""
    scripts = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            words = process.cmdline()
            if process.cwd() == str(submission.folder) and any(word.endswith("/stage.py") for word in words[:2]):
                scripts.add(process.pid)
    return [each for each in submission.cluster.hosts.sockets(node) if each.process in scripts]


def named(hosts, host, name):
    """The address that a host knows for a name, or None."""
    done = subprocess.run(hosts.words(host, "getent", "ahostsv4", name), capture_output=True, text=True, check=False)
    return next(iter(done.stdout.split()), None)


def answers(hosts, host, address, port):
    """Whether a connection from a host to an address and port is taken."""
    attempt = f"import socket; socket.create_connection(({address!r}, {port}), timeout=10)"
    words = hosts.words(host, sys.executable, "-c", attempt)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert not done.returncode or "ConnectionRefusedError" in done.stderr, done.stderr
    return not done.returncode


def left(folder):
    """What a run leaves in its folder that one process does not."""
    return [path.name for path in folder.iterdir() if "meeting" in path.name]


def held(submission):
    """The two processes that train, once they have saved their state, and they stand still."""
    submission.training()
    found = until(lambda: len(seen := ranks(submission)) == 2 and seen, "two ranks")
    for process, _ in found.values():
        process.suspend()
    return found


@pytest.mark.slow
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
    made = json.loads((run / "run.json").read_text())
    assert made["threads"] == 1 and made["host"] == "g1"


def test_the_nodes_talk_over_the_network_between_them_and_nobody_else_is_listened_to(spread):
    submission = spread(epochs=5000)
    submission.training()
    hosts = submission.cluster.hosts
    found = until(lambda: len(seen := ranks(submission)) == 2 and seen, "two ranks")
    assert len({Path(f"/proc/{process.pid}/ns/net").readlink() for process, _ in found.values()}) == 2
    for node, other in (("g1", "g2"), ("g2", "g1")):
        assert named(hosts, node, other) is None, "no name leads from one host to the other"
        both = hosts.address(node), hosts.address(other)
        seen = sockets(submission, node)
        assert {each.address for each in seen if each.peer is None} == {both[0]}
        # The main process is a client of its own store.
        talking = {(each.address, each.peer) for each in seen if each.peer}
        assert both in talking <= {both, (both[0], both[0])}
    for process, node in found.values():
        seen = environment(process.pid)
        assert seen["GLOO_SOCKET_IFNAME"] == hosts.interface(node)
        assert seen["NCCL_SOCKET_IFNAME"] == f"={hosts.interface(node)}"

    (store,) = submission.run().glob("*meeting*/store")
    address, port = store.read_text().split()
    assert address == hosts.address("g1")
    assert answers(hosts, "g2", address, port)
    for host in ("g1", "g2"):
        assert not answers(hosts, host, "127.0.0.1", port) and not answers(hosts, host, ELSEWHERE, port)


@pytest.mark.slow
def test_whoever_dies_or_is_asked_to_stop_on_a_node_the_run_goes_on_with_the_same_bits(spread, tmp_path):
    submission = spread(epochs=150)
    found = held(submission)
    (job,) = submission.all_jobs()
    assert [found[rank][1] for rank in (0, 1)] == ["g1", "g2"]
    for process, _ in found.values():
        seen = environment(process.pid)
        assert len(seen["CUDA_VISIBLE_DEVICES"].split(",")) == 1
        assert seen["LOCAL_RANK"] == "0"

    found[1][0].kill()
    found[0][0].resume()
    # A process that waited for the dead one would wait a quarter of an hour.
    until(lambda: submission.state(job) == "FAILED", "the job's end", 600)
    assert not ranks(submission) and not sockets(submission, "g1") and not sockets(submission, "g2")
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


@pytest.mark.slow
def test_a_host_that_falls_silent_costs_no_run(spread, tmp_path):
    """These hosts are known by name, and by another address to themselves."""
    submission = spread(epochs=40, partition="twins")
    cluster = submission.cluster
    found = held(submission)
    (job,) = submission.all_jobs()
    for node, other in (("twin1", "twin2"), ("twin2", "twin1")):
        assert named(cluster.hosts, node, node) == "127.0.1.1"
        assert named(cluster.hosts, node, other) == cluster.hosts.address(other)
    cluster.kill("twin2")
    found[0][0].resume()
    # The other rank waits for an answer and is not told that none will come, but SLURM misses the node.
    until(lambda: submission.state(job) == "PENDING", "the loss of the node to be noticed")
    until(lambda: not ranks(submission), "the other rank to end")
    cluster.start("twin2")
    submission.succeed()
    assert submission.all_jobs() == submission.submitted() == [job], "the same job, once"
    assert cluster.job(job)["Restarts"] == "1"
    assert (submission.run() / "run.log").read_text().count("resumed at epoch") == 1
    assert not left(submission.run())
    together = tmp_path / "together/results/runs/train/together-0000000002"
    trained_here(submission, together)
    assert bits(submission.folder) == bits(tmp_path / "together")
