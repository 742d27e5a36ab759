"""Jobs of an earlier Snakemake, as squeue tells of them, and the time that a job counts from."""

import os
import time

import pytest

from espalier.runs.interruption import JOB_STARTED, job_started
from espalier.site import earlier_jobs


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put a program in front of this machine's: program(name, shell script)."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def put(name, text):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)

    return put


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "a | repository"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("words", "profile", "expected"),
    [
        (["--profile", "profiles/slurm"], "", True),
        (["--executor", "slurm", "-j", "5"], "", True),
        ([], "/home/user/profiles/slurm", True),
        (["--profile", "profiles/slurm", "-n"], "", False),
        (["--profile", "profiles/slurm", "--unlock"], "", False),
        (["--profile", "profiles/pilot"], "", False),
        (["-c2", "--config", "studies=demo"], "", False),
    ],
)
def test_a_call_that_will_submit_is_known_by_its_words(words, profile, expected, program, monkeypatch):
    program("sbatch", "exit 1")
    monkeypatch.setenv("SNAKEMAKE_PROFILE", profile)
    assert earlier_jobs.submits(words) is expected


def test_without_slurm_nothing_is_submitted(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not earlier_jobs.submits(["--profile", "profiles/slurm"])


def test_only_jobs_of_this_folder_and_this_name_are_left(program, repository, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(repository)
    rows = [
        f"11|espalier_1b9d6bcd|{repository}",
        f"12|espalier_1b9d6bcd|{tmp_path}/another",
        f"13|interactive|{repository}",
        f"14|espalier_77aa|{repository}",
        "a line that squeue has cut",
    ]
    program("squeue", "cat <<'END'\n" + "\n".join(rows) + "\nEND")
    assert earlier_jobs.left(repository) == ["11", "14"] == earlier_jobs.left(link)
    assert earlier_jobs.left(repository, prefix="inter") == ["13"]


def test_squeue_is_asked_for_this_user_s_jobs_that_still_wait_or_run(program, repository, tmp_path):
    program("squeue", f'printf "%s\\n" "$@" > {tmp_path}/words')
    assert earlier_jobs.left(repository) == []
    words = (tmp_path / "words").read_text().splitlines()
    assert f"--user={os.getuid()}" in words
    assert "--states=PENDING,RUNNING,SUSPENDED,COMPLETING" in words


def test_a_slurm_that_does_not_answer_has_no_jobs(program, repository):
    program("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    assert earlier_jobs.left(repository) == []
    earlier_jobs.wait(repository, pytest.fail)


def test_jobs_that_are_left_are_told_and_waited_for(program, repository, tmp_path):
    asked = tmp_path / "asked"
    program("squeue", f'echo >> {asked}\n[ "$(wc -l < {asked})" -gt 3 ] || echo "21|espalier_ab|{repository}"')
    told = []
    earlier_jobs.wait(repository, told.append, every_s=0.01)
    assert len(asked.read_text()) == 4, "looked at until none was left"
    (line,) = told
    assert line.startswith("1 job(s) of an earlier call") and line.endswith("scancel 21")


def test_the_time_of_a_job_counts_from_its_first_process(monkeypatch):
    started = time.monotonic()
    monkeypatch.setenv(JOB_STARTED, str(time.time() - 100))
    assert started - job_started(started) == pytest.approx(100, abs=1)


def test_outside_a_job_time_counts_from_the_process(monkeypatch):
    monkeypatch.delenv(JOB_STARTED, raising=False)
    assert job_started(12.5) == 12.5


def test_a_job_cannot_have_begun_after_its_process(monkeypatch):
    """Where the clocks of two nodes differ."""
    started = time.monotonic()
    monkeypatch.setenv(JOB_STARTED, str(time.time() + 100))
    assert job_started(started) == started
