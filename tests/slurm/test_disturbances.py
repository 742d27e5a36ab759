"""Whatever ends a job, the run goes on from its checkpoint, ends with the bits of an undisturbed one, and once only."""

import os
import re
import signal
import subprocess
import time

import psutil
import pytest
from submission import bits, environment, until


def resumed(submission):
    """How often the run went on from a checkpoint, by its own account; a log is removed before each attempt."""
    return (submission.run() / "run.log").read_text().count("resumed at epoch")


@pytest.mark.slow
def test_a_run_stops_itself_before_its_time_limit(submit, undisturbed):
    submission = submit(minutes="4").train()
    job, process = submission.held()
    assert submission.cluster.job(job)["TimeLimit"] == "00:04:00"
    began = float(environment(process)["ESPALIER_JOB_STARTED"])
    # Held within a step that followed a save, it stops five seconds and twice the time of its start before the limit.
    latest = 240 - min(5 + 2 * (psutil.Process(process).create_time() - began), 120)
    until(lambda: time.time() - began >= latest, f"{latest:.0f} s of the job")
    os.kill(process, signal.SIGCONT)
    submission.succeed()
    said = re.search(r"(\d+) of 240 s are spent: stopped after step", submission.told())
    # Counted from the beginning of the job, not of the script.
    assert said and int(said[1]) >= int(latest)
    first, second = submission.all_jobs()
    assert submission.state(first) == "FAILED", "ended by itself, not at the limit"
    assert submission.cluster.job(second)["TimeLimit"] == "00:08:00"
    assert resumed(submission) == 1
    assert bits(submission.folder) == bits(undisturbed)


@pytest.mark.slow
def test_at_the_time_limit_the_run_goes_on_from_its_checkpoint(submit, undisturbed):
    submission = submit().train()
    job, _ = submission.held()
    # An administrator may shorten a job, of which it knows nothing.
    subprocess.run(["scontrol", "update", f"JobId={job}", "TimeLimit=1"], check=True)
    until(lambda: submission.state(job) == "TIMEOUT", "the time limit")
    submission.succeed()
    assert len(submission.all_jobs()) == 2 and resumed(submission) == 1
    assert bits(submission.folder) == bits(undisturbed)


@pytest.mark.slow
def test_out_of_memory_is_tried_again_with_more(submit, undisturbed):
    submission = submit(memory="450").train()
    submission.succeed()
    jobs = [submission.cluster.job(job) for job in submission.all_jobs()]
    assert len(jobs) >= 2
    assert [job["MinMemoryNode"] for job in jobs] == [f"{450 * attempt}M" for attempt in range(1, len(jobs) + 1)]
    assert [job["JobState"] for job in jobs] == ["FAILED"] * (len(jobs) - 1) + ["COMPLETED"]
    assert "memory" in submission.told()
    assert bits(submission.folder) == bits(undisturbed)


def test_an_outside_scancel_is_noticed(submit, undisturbed):
    """Through sacct the plugin would wait for ever (D1)."""
    submission = submit().train()
    job, _ = submission.held()
    subprocess.run(["scancel", job], check=True)
    submission.succeed()
    assert submission.state(job) == "CANCELLED"
    assert len(submission.all_jobs()) == 2 and resumed(submission) == 1
    assert bits(submission.folder) == bits(undisturbed)


@pytest.mark.slow
def test_a_preempted_job_is_queued_again_by_slurm(submit, undisturbed):
    submission = submit("spot").train()
    job, _ = submission.held()
    urgent = preempt("spot1")
    until(lambda: submission.state(job) == "PENDING", "preemption")
    subprocess.run(["scancel", urgent], check=True)
    submission.succeed()
    assert submission.all_jobs() == submission.submitted() == [job], "the same job, once"
    assert submission.cluster.job(job)["Restarts"] == "1" and resumed(submission) == 1
    assert bits(submission.folder) == bits(undisturbed)


@pytest.mark.slow
def test_a_job_preempted_for_good_is_submitted_again(submit, undisturbed):
    """The plugin knows no such end and would wait for ever (D2)."""
    submission = submit("cheap").train()
    job, _ = submission.held()
    urgent = preempt("cheap1")
    until(lambda: submission.state(job) == "PREEMPTED", "preemption")
    subprocess.run(["scancel", urgent], check=True)
    submission.succeed()
    assert len(submission.all_jobs()) == 2 and resumed(submission) == 1
    assert bits(submission.folder) == bits(undisturbed)


def preempt(node):
    """A job that needs the whole of a node whose other jobs may be preempted."""
    words = [
        "sbatch",
        "--parsable",
        "--partition=urgent",
        f"--nodelist={node}",
        "--exclusive",
        "--time=60",
        "--output=/dev/null",
    ]
    return subprocess.run([*words, "--wrap=sleep infinity"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
def test_a_dead_node_costs_no_run_and_doubles_none(submit, undisturbed):
    """Without slurm-requeue both SLURM and Snakemake would start it again (D3)."""
    submission = submit("mortal").train()
    job, _ = submission.held()
    node = submission.cluster.job(job)["BatchHost"]
    submission.cluster.kill(node)
    until(lambda: submission.state(job) == "PENDING", "the loss of the node to be noticed")
    submission.succeed()
    assert submission.all_jobs() == submission.submitted() == [job], "the same job, once"
    assert submission.cluster.job(job)["BatchHost"] != node and resumed(submission) == 1
    assert bits(submission.folder) == bits(undisturbed)


def test_a_killed_snakemake_takes_the_results_of_its_jobs_over(submit, undisturbed):
    submission = submit().train()
    job, process = submission.held()
    submission.kill()
    subprocess.run(["sleep", "1"], check=True)
    assert submission.alive() == [job], "the job outlives Snakemake"
    submission.start("--unlock")
    submission.succeed()
    submission.train()
    until(lambda: f"scancel {job}" in submission.told(), "the job to be found")
    os.kill(process, signal.SIGCONT)
    submission.succeed()
    assert submission.all_jobs() == [job], "nothing is done again"
    assert bits(submission.folder) == bits(undisturbed)
