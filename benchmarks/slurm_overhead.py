"""What a run costs as a SLURM job beyond its own time, and how fast runs are handed over.

    python benchmarks/slurm_overhead.py [--runs 200]

The smallest runs of a study, one epoch of an MLP on the digits, are sent with the shipped profile to the cluster of
tests/slurm, which it brings up and takes down. The overhead is the time of a job less that of its script, which
Snakemake measures inside: it is what starting Snakemake twice in the job takes. Eight jobs run at once, so on a
machine with fewer cores the CPU-seconds, as the cluster's accounts have them, say more than the clock does.
Needs root and `make slurm-packages`.
"""

import argparse
import csv
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from turns import hardware, row, spread

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/slurm"))

import accounting  # noqa: E402
from cluster import Cluster, missing  # noqa: E402
from submission import Submission, copy_repository  # noqa: E402

STUDY = """\
title: The smallest runs
dataset: digits
model: {{name: mlp, hidden: [4]}}
train: {{epochs: 1}}
repeats: {runs}
"""


def seconds(text: str) -> float:
    """Of a time as SLURM writes it: hours where there are any, minutes and seconds."""
    total = 0.0
    for part in text.split(":"):
        total = 60 * total + float(part)
    return total


def cpu_seconds() -> list[float]:
    """CPU-seconds of every training job, as the accounts have them."""
    words = ["sacct", "--noheader", "--parsable2", "--format=TotalCPU,Comment"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    rows = (line.split("|") for line in done.stdout.splitlines())
    return [seconds(total) for total, comment in rows if comment.startswith("rule_train")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    args = parser.parse_args()
    if reason := missing() or accounting.missing():
        sys.exit(reason)
    base = Path(tempfile.mkdtemp(prefix="slurm-"))
    # The database of the accounts runs as a user of its own.
    base.chmod(0o711)
    cluster = Cluster(base / "cluster")
    cluster.up()
    try:
        folder = copy_repository(base / "repository")
        (folder / "config/studies/many.yaml").write_text(STUDY.format(runs=args.runs))
        submission = Submission(folder, cluster, "gpu", memory="1500")
        begun = time.monotonic()
        code = submission.start("--until", "train", studies="many").wait(patience_s=36_000)
        wall = time.monotonic() - begun
        # The cluster's daemons are no children that are waited for, so this is Snakemake and its sbatch calls.
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        own, own_cpu = [], []
        for path in folder.glob("results/runs/train/*/benchmark.tsv"):
            with path.open() as file:
                (line,) = csv.DictReader(file, delimiter="\t")
            own.append(float(line["s"]))
            own_cpu.append(float(line["cpu_time"]))
        jobs = [cluster.job(job) for job in submission.all_jobs()]
        whole = [seconds(job["RunTime"]) for job in jobs if job["Comment"].startswith("rule_train")]
        told = submission.submitted()
        # The accounts come after the fact.
        deadline = time.monotonic() + 120
        while len(job_cpu := cpu_seconds()) < len(whole) and time.monotonic() < deadline:
            time.sleep(1)
    finally:
        cluster.down()
        shutil.rmtree(base, ignore_errors=True)
    if code or len(own) != args.runs:
        sys.exit(f"{len(own)} of {args.runs} runs ended well")
    print(hardware(torch.device("cpu")))
    heads = ("wall s", "job s", "range", "script s", "range", "job CPU s", "range", "script CPU s", "range")
    row("runs", "jobs", *heads, "overhead CPU s", "Snakemake CPU s a run")
    row(*["---:"] * 13)
    overhead = statistics.median(job_cpu) - statistics.median(own_cpu)
    cpu = (used.ru_utime + used.ru_stime) / args.runs
    times = (*spread(whole, 0), *spread(own, 1), *spread(job_cpu, 1), *spread(own_cpu, 1))
    row(args.runs, len(told), f"{wall:.0f}", *times, f"{overhead:.1f}", f"{cpu:.2f}")


if __name__ == "__main__":
    main()
