"""The processes of several nodes, without SLURM: they meet over a socket and train one network."""

import csv
import signal
import subprocess

import pytest

from espalier.site import nodes
from support.scripts_as_run import ENVIRONMENT, PATIENCE_S, run, script

MLP = ["model={name: mlp, hidden: [32]}", "train.epochs=2", "train.batch_size=53", "train.optimizer.lr=0.05"]
TWO = ["train.processes=2", "train.nodes=2"]


def test_a_script_refuses_what_nodes_cannot_share(digits, tmp_path):
    done = run("train", tmp_path / "odd-0000000001", "--data", digits, *MLP, "train.processes=3", "train.nodes=2")
    assert done.returncode == 2
    assert done.stderr.count("processes: 3 are not shared equally by 2 nodes") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_parts_of_two_nodes_meet_over_a_socket_and_have_the_losses_of_one_process(digits, tmp_path):
    one, two = tmp_path / "one-0000000001", tmp_path / "two-0000000002"
    assert run("train", one, "--data", digits, *MLP).returncode == 0
    two.mkdir()
    store = tmp_path / "store"
    store.touch()
    parts = []
    for number in range(2):
        told = {nodes.PART: str(number), nodes.PEER: "127.0.0.1", "ESPALIER_RENDEZVOUS": str(store)}
        words = script("train", two, "--data", digits, *MLP, *TWO)
        # Its standard input stays open as long as the launcher of its job lives.
        parts.append(
            subprocess.Popen(words, env=ENVIRONMENT | told, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    said = [part.stderr.read() for part in parts]
    assert [part.wait(timeout=PATIENCE_S) for part in parts] == [0, 0], said
    assert "best epoch" in said[0] and not said[1], "only the main process tells"
    host, port = store.read_text().split()
    assert host == "127.0.0.1" and int(port) > 0
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)


def losses(folder):
    rows = csv.DictReader((folder / "history.csv").open())
    return [float(row[name]) for row in rows for name in ("train_loss", "validation_loss")]


def test_a_part_ends_with_the_launcher_of_its_job(digits, tmp_path):
    folder, store = tmp_path / "alone-0000000003", tmp_path / "store"
    folder.mkdir()
    store.touch()
    told = {nodes.PART: "1", nodes.PEER: "127.0.0.1", "ESPALIER_RENDEZVOUS": str(store)}
    words = script("train", folder, "--data", digits, *MLP, *TWO)
    # It would wait a quarter of an hour for the main process.
    part = subprocess.Popen(words, env=ENVIRONMENT | told, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    part.stdin.close()
    assert part.wait(timeout=PATIENCE_S) == -signal.SIGKILL
