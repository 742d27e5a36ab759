"""CPU-seconds and memory of planning and dry-running studies of many runs.

    python benchmarks/plan.py [--sizes 100 1000 10000] [--rounds 1] [--batch 10]

Each study is a grid of learning rates, batch sizes and seeds, trained, pruned and evaluated. The first arm is the dry
run a user types; the second is the same number of jobs in the smallest Snakemake workflow there is (rules with one
input, one output and a dict look-up), the floor that no plan can go below. The third is that workflow with as many
inputs, outputs and logs a rule as the first has: what is above it is Espalier's own. Arms alternate. Times are the
least of the rounds; ratios are taken within a round, and their median and range are shown. `start` is the first arm for
a study of one run, which every call of Snakemake pays. With --batch the dry run of the first of so many parts of each
study is a fourth arm.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from demo import PARTS, ROOT, SNAKEMAKE

sys.path.insert(0, str(ROOT))


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
RECORD = "run.json"
FILES = {
    "train": (),
    "prune": ("train",),
    "evaluate": ("train", "prune"),
}
"""Stage → those whose networks it reads, beside the data set."""


def floor_of_files(runs: int) -> str:
    """The floor with the files of `FILES`."""
    rules = [
        f"RUNS = {{f'{{n:010x}}': n for n in range({runs})}}",
        "rule all:\n    input: expand('out/evaluate/{run}/run.json', run=RUNS)",
        "rule prepare:\n    output: 'out/data.safetensors'\n    shell: 'touch {output}'",
    ]
    for stage, before in FILES.items():
        read = ["out/data.safetensors", *(f"out/{one}/{{run}}/{RECORD}" for one in before)]
        rules.append(
            f"rule {stage}:\n    input: {', '.join(map(repr, read))}\n    output: 'out/{stage}/{{run}}/{RECORD}'\n"
            f"    log: 'out/{stage}/{{run}}/run.log'\n    params: lambda wildcards: RUNS[wildcards.run]\n"
            "    shell: 'echo {params} > {output[0]} 2> {log}'"
        )
    return "\n".join(rules) + "\n"


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


def costs(rounds: int, *arms: tuple[list, Path]) -> list[list[tuple[float, float]]]:
    """CPU-seconds and MiB of each arm in each round; arms take turns."""
    found = [[cost(*arm) for arm in arms] for _ in range(rounds)]
    return [list(each) for each in zip(*found, strict=True)]


def ratio(ones: list[tuple[float, float]], others: list[tuple[float, float]]) -> str:
    """Of CPU-seconds, within rounds: median and range."""
    found = [one / other for (one, _), (other, _) in zip(ones, others, strict=True)]
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10000], help="training runs")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--batch", type=int, metavar="PARTS")
    args = parser.parse_args()
    dry = [SNAKEMAKE, "-n", "-q", "rules"]
    with tempfile.TemporaryDirectory() as name:
        ours, floor, files = (Path(name, arm) for arm in ("espalier", "floor", "files"))
        for folder in (ours, floor, files):
            folder.mkdir()
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
            copy(ROOT / part, ours / part)
        many = [*dry, "--config", "studies=many"]
        (ours / "config/studies/many.yaml").write_text(study(1))
        # The first call writes byte-code, which is not what is timed.
        cost(many, ours)
        print(f"start: {min(costs(args.rounds, (many, ours))[0])[0]:.1f} CPU-s")
        names = ["dry run", "floor", "floor with our files", *(["a part"] if args.batch else [])]
        heads = [head for arm in names for head in (f"{arm} CPU-s", "MiB")]
        print("runs", "jobs", *heads, "÷ floor", "÷ floor with our files", sep=" | ")
        for runs in args.sizes:
            (ours / "config/studies/many.yaml").write_text(study(runs))
            (floor / "Snakefile").write_text(FLOOR.format(runs=runs))
            (files / "Snakefile").write_text(floor_of_files(runs))
            arms = [(many, ours), ([*dry, "-c1"], floor), ([*dry, "-c1"], files)]
            if args.batch:
                arms.append(([*many, "--batch", f"page=1/{args.batch}"], ours))
            found = costs(args.rounds, *arms)
            cells = [cell for seconds, memory in map(min, found) for cell in (f"{seconds:.1f}", f"{memory:.0f}")]
            print(runs, 3 * runs, *cells, *(ratio(found[0], below) for below in found[1:3]), sep=" | ", flush=True)


if __name__ == "__main__":
    main()
