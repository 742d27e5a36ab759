"""CPU-seconds and memory of planning and dry-running studies of many runs.

    python benchmarks/plan.py [--sizes 100 1000 10000]

Each study is a grid of learning rates, batch sizes and seeds, trained and evaluated. The first arm is the dry run a
user types; the second is the same number of jobs in the smallest Snakemake workflow there is (a rule with a dict
look-up), the floor that no plan can go below. Arms alternate in one run.
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
grid:
  product:
    train.optimizer.lr: [{rates}]
    train.batch_size: [8, 16, 24, 32, 40, 48, 56, 64, 72, 80]
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
rule evaluate:
    input: "out/train/{{run}}.csv"
    output: "out/evaluate/{{run}}.csv"
    params: lambda wildcards: RUNS[wildcards.run]
    shell: "echo {{params}} > {{output}}"
"""


def cost(command: list, folder: Path) -> tuple[float, float]:
    """CPU-seconds and peak MiB of a command."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        error = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(error.decode())
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10000], help="training runs")
    args = parser.parse_args()
    print(f"{'runs':>7}{'jobs':>7}{'dry run CPU-s':>15}{'MiB':>7}{'floor CPU-s':>13}{'MiB':>7}{'ratio':>7}")
    with tempfile.TemporaryDirectory() as name:
        ours, floor = Path(name, "espalier"), Path(name, "floor")
        ours.mkdir()
        floor.mkdir()
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
            copy(ROOT / part, ours / part)
        for runs in args.sizes:
            repeats = max(1, runs // 100)
            rates = ", ".join(str(rate / 100) for rate in range(1, 1 + runs // (10 * repeats)))
            (ours / "config/studies/many.yaml").write_text(STUDY.format(rates=rates, repeats=repeats))
            (floor / "Snakefile").write_text(FLOOR.format(runs=runs))
            mine = cost([SNAKEMAKE, "-n", "-q", "rules", "--config", "studies=many"], ours)
            least = cost([SNAKEMAKE, "-n", "-q", "rules", "-c1"], floor)
            ratio = mine[0] / least[0]
            print(f"{runs:7}{2 * runs:7}{mine[0]:15.1f}{mine[1]:7.0f}{least[0]:13.1f}{least[1]:7.0f}{ratio:7.2f}")


if __name__ == "__main__":
    main()
