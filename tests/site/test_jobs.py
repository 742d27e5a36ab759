"""Jobs of an earlier Snakemake, as squeue tells of them, and the time that a job counts from."""

import inspect
import os
import re
from pathlib import Path

import pytest

from espalier.site import earlier_jobs

ROOT = Path(__file__).parents[2]
CALL = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"


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


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The repository as the working folder; a profile of a site's own, by a name of its own."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    profile = tmp_path / "mycluster"
    profile.mkdir()
    (profile / "config.yaml").write_text("executor: slurm\njobs: 20\n")
    return str(profile)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--profile", "profiles/slurm"], "slurm"),
        (["--profile=profiles/slurm", "-q", "--config", "studies=demo", "--", "page"], "slurm"),
        (["--executor", "slurm", "-j", "5"], "slurm"),
        (["-e", "slurm", "-j", "5"], "slurm"),
        (["--profile", "profiles/slurm", "--report", "r.zip", "--report-after-run"], "slurm"),
        (["--profile", "profiles/slurm", "-n"], None),
        (["--profile", "profiles/slurm", "-nq"], None),
        (["--profile", "profiles/slurm", "--unlock"], None),
        (["--profile", "profiles/slurm", "--lint"], None),
        (["--profile", "profiles/slurm", "--report", "r.zip"], None),
        (["--profile", "profiles/slurm", "--executor", "local", "-c1"], "local"),
        (["--profile", "profiles/pilot"], "local"),
        (["-c2", "--config", "studies=slurm"], "local"),
        (["-c2", "results/slurm"], "local"),
        (["-c2", "-n"], None),
    ],
)
def test_what_a_call_gives_its_jobs_to_is_known(words, expected, site, capfd):
    assert earlier_jobs.executor(words) == expected
    assert capfd.readouterr() == ("", "")


def test_a_profile_may_have_any_name_and_be_named_by_the_environment(site, monkeypatch):
    assert earlier_jobs.executor(["--profile", site]) == "slurm"
    assert earlier_jobs.executor(["--profile", site, "-nq"]) is None
    monkeypatch.setenv("SNAKEMAKE_PROFILE", site)
    assert earlier_jobs.executor([]) == "slurm"
    assert earlier_jobs.executor(["-n"]) is None
    assert earlier_jobs.executor(["--profile", "profiles/pilot"]) == "local"


def test_what_snakemake_does_instead_of_running_jobs_is_known_to_the_last(site):
    from snakemake.cli import args_to_api, get_argument_parser

    # Each of its branches that ends in another call than the one that executes.
    branch = r"if args\.(\w+)(?: is not None)?:\n\s+(?:any_lint = )?\w+_api\."
    found = re.findall(branch, inspect.getsource(args_to_api))
    assert {"unlock", "lint", "summary", "containerize", "d3dag"} <= set(found)
    actions = {action.dest: action for action in get_argument_parser()._actions}
    for action in map(actions.get, found):
        value = [] if action.nargs == 0 else [str(next(iter(action.choices or ["here"])))]
        assert earlier_jobs.executor(["-e", "slurm", "-j5", action.option_strings[0], *value]) is None, action.dest


def test_words_that_are_not_understood_here_may_submit(site, capfd):
    assert earlier_jobs.executor(["--profile", "a profile that is not here"]) == "slurm"
    assert capfd.readouterr() == ("", "")


def test_without_slurm_no_job_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert earlier_jobs.left(tmp_path) == []


def test_only_jobs_of_this_folder_that_a_snakemake_has_named_are_left(program, repository, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(repository)
    rows = [
        f"11|espalier_{CALL}|{repository}",
        f"12|espalier_{CALL}|{tmp_path}/another",
        f"13|interactive|{repository}",
        f"14|{CALL}|{repository}",
        f"15|espalier-driver|{repository}",
        f"16|my_site_{CALL}|{repository}",
        "a line that squeue has cut",
    ]
    program("squeue", "cat <<'END'\n" + "\n".join(rows) + "\nEND")
    assert earlier_jobs.left(repository) == ["11", "14", "16"] == earlier_jobs.left(link)


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
    program("squeue", f'echo >> {asked}\n[ "$(wc -l < {asked})" -gt 3 ] || echo "21|espalier_{CALL}|{repository}"')
    told = []
    earlier_jobs.wait(repository, told.append, every_s=0.01)
    assert len(asked.read_text()) == 4, "looked at until none was left"
    (line,) = told
    assert line.startswith("1 job of an earlier call") and line.endswith("scancel 21")
