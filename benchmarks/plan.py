"""CPU-seconds and memory of planning and dry-running studies of many runs.

    python benchmarks/plan.py [--sizes 100 1000 10000] [--rounds 1] [--batch 10]

Each study is a grid of learning rates, batch sizes and seeds, trained, pruned and evaluated. The first arm is the dry
run a user types; the second is the same number of jobs in the smallest Snakemake workflow there is (rules with one
input, one output and a dict look-up), the floor that no plan can go below. Arms alternate; the least of the rounds is
shown. `start` is the first arm for a study of one run, which every call of Snakemake pays. With --batch the dry run of
the first of so many parts of each study is a third arm.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from demo import PARTS, ROOT, SNAKEMAKE

STUDY = """title: many runs
dataset: digits
model: {{name: resnet, channels: [8, 16, 32]}}
prune: {{name: magnitude, ratio: 0.5}}
grid:
  product:
    train.optimizer.lr: [{rates}]
    train.batch_size: [{batches}]
repeats: {repeats}
tables: [summary]
"""
FLOOR = """
RUNS = {{f"{{n:010x}}": n for n in range({runs})}}
rule all:
    input: expand("out/evaluate/{{run}}.csv", run=RUNS)
rule train:
    output: "out/train/{{run}}.csv"
    params: lambda wildcards: RUNS[wildcards.run]
    shell: "echo {{params}} > {{output}}"
rule prune:
    input: "out/train/{{run}}.csv"
    output: "out/prune/{{run}}.csv"
    params: lambda wildcards: RUNS[wildcards.run]
    shell: "echo {{params}} > {{output}}"
rule evaluate:
    input: "out/prune/{{run}}.csv"
    output: "out/evaluate/{{run}}.csv"
    params: lambda wildcards: RUNS[wildcards.run]
    shell: "echo {{params}} > {{output}}"
"""
TABLES = ["results/studies/many/runs.csv"]
"""What a batch of `tabulate` is asked for: figures and page would ask for the rest of the runs."""


def cost(command: list, folder: Path) -> tuple[float, float]:
    """CPU-seconds and peak MiB of a command."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        error = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(error.decode())
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def study(runs: int) -> str:
    """A study of so many training runs: up to ten rates, up to ten batch sizes, and repeats for the rest."""
    batches = min(10, runs)
    rates = min(10, runs // batches)
    return STUDY.format(
        rates=", ".join(str(number / 100) for number in range(1, 1 + rates)),
        batches=", ".join(str(8 * number) for number in range(1, 1 + batches)),
        repeats=runs // (rates * batches),
    )


def least(rounds: int, *arms: tuple[list, Path]) -> list[tuple[float, float]]:
    """CPU-seconds and MiB of each arm, the least of rounds in which they take turns."""
    found = [[cost(*arm) for arm in arms] for _ in range(rounds)]
    return [min(costs) for costs in zip(*found, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10000], help="training runs")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--batch", type=int, metavar="PARTS")
    args = parser.parse_args()
    dry = [SNAKEMAKE, "-n", "-q", "rules"]
    with tempfile.TemporaryDirectory() as name:
        ours, floor = Path(name, "espalier"), Path(name, "floor")
        ours.mkdir()
        floor.mkdir()
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
            copy(ROOT / part, ours / part)
        many = [*dry, "--config", "studies=many"]
        (ours / "config/studies/many.yaml").write_text(study(1))
        # The first call writes byte-code, which is not what is timed.
        cost(many, ours)
        print(f"start: {least(args.rounds, (many, ours))[0][0]:.1f} CPU-s")
        part = f"{'a part CPU-s':>14}{'MiB':>7}" if args.batch else ""
        print(f"{'runs':>7}{'jobs':>7}{'dry run CPU-s':>15}{'MiB':>7}{'floor CPU-s':>13}{'MiB':>7}{'ratio':>7}{part}")
        for runs in args.sizes:
            (ours / "config/studies/many.yaml").write_text(study(runs))
            (floor / "Snakefile").write_text(FLOOR.format(runs=runs))
            arms = [(many, ours), ([*dry, "-c1"], floor)]
            if args.batch:
                arms.append(([*many, "--batch", f"tabulate=1/{args.batch}", "--", *TABLES], ours))
            costs = least(args.rounds, *arms)
            ratio = costs[0][0] / costs[1][0]
            print(f"{runs:7}{3 * runs:7}{costs[0][0]:15.1f}{costs[0][1]:7.0f}", end="")
            print(f"{costs[1][0]:13.1f}{costs[1][1]:7.0f}{ratio:7.2f}", end="")
            print(f"{costs[2][0]:14.1f}{costs[2][1]:7.0f}" if args.batch else "", flush=True)


if __name__ == "__main__":
    main()
