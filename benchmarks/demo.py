"""Where the CPU-seconds of the demo go: start-up, data, training, evaluation, tables, plots, workflow.

    python benchmarks/demo.py [--cores 2] [--rounds 1] [--isolated]

Runs the whole demo study from nothing in a copy of the repository, then sums what each run says of itself
(run.json), times the small scripts again by themselves, and gives the rest to the workflow. The clock covers
everything between the shell prompt and the last file: Snakemake, every process it starts, every import. With
--isolated the demo runs in a network namespace without any interface.
"""

import argparse
import ctypes
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable
SNAKEMAKE = Path(sys.executable).with_name("snakemake")
_PR_SET_CHILD_SUBREAPER = 36
"""Option of Linux's prctl, as sys/prctl.h numbers it."""
PARTS = ("config", "workflow", "profiles", "envs", "espalier", "Snakefile", "pyproject.toml")


def timed(command: list, folder: Path) -> tuple[float, float]:
    """CPU and wall seconds of a command and all that it starts."""
    return timed_all([command], folder)


def timed_all(commands: list[list], folder: Path, at_once: int = 1) -> tuple[float, float]:
    """CPU and wall seconds of commands, some at once, and all that they start, also what outlives them."""
    # Orphans come to this process, which counts them once it has waited for them.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        for command, done in zip(commands, pool.map(partial(_ended, folder), commands), strict=True):
            if done.returncode:
                sys.exit(f"{command} failed:\n{done.stdout}{done.stderr}")
    with suppress(ChildProcessError):
        while True:
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.monotonic() - start


def _ended(folder: Path, command: list) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def measure(cores: int, isolated: bool) -> dict[str, float]:
    """One demo from nothing: part → CPU-seconds, and the wall time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "espalier"
        folder.mkdir()
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
            copy(ROOT / part, folder / part)
        cut = ["unshare", "--net"] if isolated else []
        total, wall = timed([*cut, SNAKEMAKE, "-c", str(cores), "--config", "studies=demo"], folder)
        report, report_wall = timed(
            [*cut, SNAKEMAKE, "-c", str(cores), "--config", "studies=demo", "--", "report"], folder
        )
        runs = [json.loads(path.read_text()) for path in (folder / "results/runs").glob("*/*/run.json")]
        cpu = {stage: sum(run["cpu_s"] for run in runs if run["stage"] == stage) for stage in ("train", "evaluate")}
        ready = sum(run["startup_cpu_s"] for run in runs if run["stage"] == "train")
        plan = "results/studies/demo/plan.json"
        scripts = {
            "data": ["stage.py", "prepare", "again/digits.safetensors", "dataset.name=digits"],
            "tables, figures and page": ["write_page.py", "again", "--plan", plan],
        }
        small = {
            part: timed([PYTHON, f"workflow/scripts/{script}", *words], folder)[0]
            for part, (script, *words) in scripts.items()
        }
        parts = {
            "training: start-up": ready,
            "training: steps and validation": cpu["train"] - ready,
            "evaluation on test": cpu["evaluate"],
            **small,
            "report.zip": report,
        }
        known = sum(parts.values()) - report
        return {**parts, "workflow (the rest)": total - known, "total": total + report, "wall": wall + report_wall}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--isolated", action="store_true", help="without a network (needs the right to unshare)")
    args = parser.parse_args()
    rounds = [measure(args.cores, args.isolated) for _ in range(args.rounds)]
    print(
        f"demo study, {args.cores} of {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    )
    print(f"{'part':34}{'CPU-s':>8}{'share':>8}   median of {args.rounds}")
    total = statistics.median(found["total"] for found in rounds)
    for part in rounds[0]:
        value = statistics.median(found[part] for found in rounds)
        share = "" if part == "wall" else f"{value / total:8.0%}"
        print(f"{part:34}{value:8.1f}{share}")


if __name__ == "__main__":
    main()
