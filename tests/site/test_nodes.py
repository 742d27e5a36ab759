"""What several nodes need that a cluster is not needed for: settings, and words for SLURM."""

import os
import socket

import pytest

from espalier.errors import Mistake
from espalier.plan.build import build
from espalier.settings.problems import StudyError
from espalier.site import nodes
from espalier.site.pilot.board import VARIABLE as PILOT
from espalier.stages.frame.launch import _signed


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A job of SLURM's on two nodes, as its programs tell of it: slurm(program, shell script) changes one."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def put(name, text):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)

    put("srun", "exit 1")
    put("squeue", '[ "$*" = "--noheader --jobs=7 --format=%N" ] && echo "gpu[03,11]"')
    put(
        "scontrol",
        'case "$*" in\n"show hostnames gpu[03,11]") echo gpu03; echo gpu11;;\n'
        '"--oneliner show node gpu03,gpu11") echo "NodeName=gpu11 NodeAddr=10.1.0.11 OS=Linux 6.1 #1 SMP"\n'
        'echo "NodeName=gpu03 NodeAddr=10.1.0.3 Comment=a b";;\n*) exit 1;;\nesac',
    )
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.delenv(PILOT, raising=False)
    return put


def test_the_nodes_of_a_job_have_the_addresses_that_slurm_knows(slurm):
    assert nodes.of_job(2) == [nodes.Node("gpu03", "10.1.0.3"), nodes.Node("gpu11", "10.1.0.11")]


def test_a_job_of_another_size_is_refused(slurm):
    with pytest.raises(Mistake, match="nodes is 3, and SLURM job 7 has 2: ask for as many, or set nodes to that"):
        nodes.of_job(3)


def test_a_slurm_that_does_not_answer_is_told_of(slurm):
    slurm("squeue", "echo Unable to contact slurm controller >&2; exit 1")
    with pytest.raises(Mistake, match=r"squeue .* ended with 1: Unable to contact slurm controller"):
        nodes.of_job(2)


def test_without_a_job_a_run_stays_on_its_machine(slurm, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID")
    assert nodes.of_job(2) == []


def test_without_slurm_s_programs_a_run_stays_on_its_machine(slurm, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nodes.of_job(2) == []


def test_a_run_of_a_pilot_stays_on_its_machine(slurm, monkeypatch):
    monkeypatch.setenv(PILOT, "{}")
    assert nodes.of_job(2) == []


def test_a_step_asks_for_a_gpu_for_each_process_where_the_job_has_some(monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    node = nodes.Node("gpu03", "10.1.0.3")
    words = nodes.step(node, 2, ["python", "train.py", "a b"])
    assert words[0] == "srun" and words[-3:] == ["python", "train.py", "a b"]
    assert {"--nodes=1", "--ntasks=1", "--nodelist=gpu03"} < set(words)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert set(nodes.step(node, 2, [])) - set(words) == {"--gpus=2"}


def test_a_step_does_not_inherit_what_its_job_was_asked_for(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_CONF", "/opt/slurm.conf")
    monkeypatch.setenv("SLURM_GPUS", "4")
    monkeypatch.setenv("SRUN_CPUS_PER_TASK", "8")
    kept = nodes.environment()
    assert (kept["SLURM_JOB_ID"], kept["SLURM_CONF"], kept["PATH"]) == ("7", "/opt/slurm.conf", os.environ["PATH"])
    assert not {"SLURM_GPUS", "SRUN_CPUS_PER_TASK"} & set(kept)


def test_the_interface_is_the_one_to_the_other_node(monkeypatch):
    monkeypatch.setenv(nodes.PEER, "127.0.0.1")
    assert nodes.own_address() == "127.0.0.1"
    assert nodes.interface().startswith("lo")


def test_a_node_that_another_does_not_know_is_told_of(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setenv(nodes.PEER, "gpu11")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(
        Mistake, match=r"another node gpu11, which .+ knows no address of \(Name or service not known\)"
    ):
        nodes.interface()


def test_srun_tells_of_a_signal_as_a_shell_does():
    assert [_signed(code) for code in (0, 2, 75, 130, 137, -9, None)] == [0, 2, 75, 130, -9, -9, None]


def test_nodes_share_processes_equally_or_nothing_is_planned(tmp_path):
    (tmp_path / "spread.yaml").write_text(
        "title: three\ndataset: digits\nmodel: mlp\ntrain: {processes: 3, nodes: 2}\n"
    )
    with pytest.raises(StudyError) as told:
        build(["spread"], tmp_path)
    (problem,) = told.value.problems
    assert problem.key == "train.nodes"
    assert "2 nodes share processes equally, not 3; make these a multiple" in str(problem)
