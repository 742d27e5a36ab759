"""What a site with accounts adds: who pays, who may not, and how sacct tells of an end."""

import re
import subprocess
import sys
import time

import accounting
import pytest
from submission import until

pytestmark = pytest.mark.skipif(bool(accounting.missing()), reason=str(accounting.missing()))
SHORT = """\
title: A short run
dataset: digits
model: {name: mlp, hidden: [8]}
train: {epochs: 1}
"""


def told_by_sacct(job, *keys):
    """What the accounts say of a job: the values of these keys, once it has ended there."""

    def ended():
        words = [
            "sacct",
            "--noheader",
            "--parsable2",
            "--allocations",
            f"--jobs={job}",
            f"--format=End,{','.join(keys)}",
        ]
        end, *values = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip().split("|") or [
            ""
        ]
        return values if end not in ("", "Unknown") else None

    return until(ended, f"the accounts of job {job}")


def preflight(folder):
    return subprocess.run(
        [sys.executable, "-m", "espalier", "preflight"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_run_is_charged_to_the_account_of_the_profile(submit):
    submission = submit()
    (submission.folder / "config/studies/short.yaml").write_text(SHORT)
    submission.start("--until", "train", studies="short").succeed()
    (job,) = submission.all_jobs()
    state, account, given, comment = told_by_sacct(job, "State", "Account", "AllocTRES", "Comment")
    assert (state, account) == ("COMPLETED", accounting.ACCOUNT)
    assert "gres/gpu=1" in given.split(",")
    assert comment.startswith("rule_train")
    assert "account" not in preflight(submission.folder).stdout


def test_an_account_that_is_not_ones_own_is_found_before_any_job(submit):
    submission = submit()
    profile = submission.folder / "profiles/slurm/config.yaml"
    profile.write_text(profile.read_text().replace(f'"{accounting.ACCOUNT}"', '"nobody"'))
    checked = preflight(submission.folder)
    assert checked.returncode == 1
    assert "has no account 'nobody'" in checked.stdout
    assert re.search(rf"set slurm_account to one of .*\b{accounting.ACCOUNT}\b", checked.stdout)
    assert submission.start("--until", "train").wait() != 0
    assert "nobody" in submission.told() and not submission.all_jobs()


def test_sacct_names_who_cancelled():
    """The plugin knows the bare word alone, and would wait for ever (D1): the profile follows squeue."""
    words = ["sbatch", "--parsable", "--partition=gpu", "--output=/dev/null", "--wrap=sleep 100"]
    job = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    time.sleep(1)
    subprocess.run(["scancel", job], check=True)
    assert told_by_sacct(job, "State")[0].startswith("CANCELLED by ")
