"""CPU-seconds and memory of what a study shows, its tables, figures and page, from many runs that are done.

    python benchmarks/aggregate.py [--artifacts 1000 10000]

The artifacts are what runs of `train`, `prune` and `evaluate` leave, in equal parts, in the format of the real ones and
with made-up numbers, written to a temporary folder and planned by the real plan. Each script is called as the workflow
calls it; the files have just been written, so that the disk is not what is timed.
"""

import argparse
import csv
import json
import math
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from demo import PYTHON, ROOT

sys.path.insert(0, str(ROOT))

from espalier.plan.build import build
from espalier.plan.manifest import manifest
from espalier.runs import record as records
from espalier.runs.columns import HISTORY, LAYERS
from espalier.stages import STAGES

SCRIPTS = ROOT / "workflow/scripts"
EPOCHS = 12
STUDY = """title: many runs
dataset: digits
model: {{name: resnet, channels: [8, 16, 32]}}
train: {{epochs: 12}}
{prune}
stages: [{stages}]
grid:
  product:
    train.optimizer.lr: [{rates}]
    train.batch_size: [8, 16, 24, 32, 40, 48, 56, 64, 72, 80]
repeats: {repeats}
tables: [summary, {{name: by_axis, axis: train.optimizer.lr}}, {{name: by_axis, axis: train.batch_size}}, best{tables}]
figures:
  - curves
  - {{name: curves, axis: train.batch_size}}
  - {{name: by_axis, axis: train.optimizer.lr}}
  - {{name: by_axis, axis: train.batch_size}}
  - tradeoff
"""
LAYERS_OF = ("stem", *(f"blocks.{place}.conv{number}" for place in range(9) for number in (1, 2)), "classifier")


def text(chains: int, stages: tuple[str, ...]) -> str:
    """The file of a study of so many chains, a hundred configurations or a tenth of the chains."""
    repeats = max(1, chains // 100)
    rates = ", ".join(str(number / 100) for number in range(1, 1 + max(1, chains // (10 * repeats))))
    prune = "prune: {name: magnitude, ratio: 0.5}" if "prune" in stages else ""
    return STUDY.format(
        prune=prune,
        stages=", ".join(stages),
        rates=rates,
        repeats=repeats,
        tables=", pruning, layers" if prune else "",
    )


def plan(chains: int, stages: tuple[str, ...]) -> dict:
    """The plan.json of that study."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "many.yaml").write_text(text(chains, stages))
        return manifest(build(["many"], Path(name)).studies["many"])


def write_plan(root: Path, study: dict) -> Path:
    path = root / "results/studies" / study["study"] / "plan.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(study, indent=1))
    return path


def finish(root: Path, study: dict) -> None:
    """Write every run of the study as done."""
    generator = random.Random(0)
    for id_, run in study["runs"].items():
        path = root / run["path"]
        if run["stage"] == "prepare":
            path.parent.mkdir(parents=True)
            path.touch()
            continue
        path.mkdir(parents=True)
        top1 = generator.gauss(97, 0.5)
        if run["stage"] != "evaluate":
            _write(path / "history.csv", HISTORY, [_epoch(epoch, top1) for epoch in range(1, 1 + EPOCHS)])
        if run["stage"] == "prune":
            rows = [(layer, 1000, 500, 50.0) for layer in LAYERS_OF]
            _write(path / "layers.csv", LAYERS, [dict(zip(LAYERS, row, strict=True)) for row in rows])
        row = {column: round(generator.uniform(1, 2), 6) for column in STAGES[run["stage"]].metrics}
        row |= {"run": id_, "parent": run["parent"]}
        row |= {name: round(top1, 2) for name in ("train_top1", "validation_top1", "test_top1") if name in row}
        row |= {name: 19802 for name in ("params", "macs", "nonzeros") if name in row}
        _write(path / "metrics.csv", STAGES[run["stage"]].metrics, [row])
        names = sorted(each.name for each in path.iterdir())
        records.write(path, _record(id_, run), names, {})
        (path / "run.log").write_text("2026-03-01 12:00:00 INFO 12 epochs\n" * EPOCHS)


def _epoch(epoch: int, top1: float) -> dict:
    here = top1 - 55 * math.exp(-0.95 * epoch)
    values = (epoch, 0.1, 1.2345678, here, 1.3456789, here, 99.9, here, 8123.4, 0.712)
    return dict(zip(HISTORY, values, strict=True))


def _record(id_: str, run: dict) -> dict:
    return {
        "run": id_,
        "stage": run["stage"],
        "outcome": records.DONE,
        "parent": run["parent"],
        "spec": run["settings"],
        "command": " ".join(run["command"]),
        "data": {"path": "results/data/digits.safetensors", "checksum": "0f1e2d3c4b5a69788796a5b4c3d2e1f0" * 2},
        "git": {"commit": "1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e", "dirty": False},
        "versions": {"python": "3.11.2", "torch": "2.13.0", "accelerate": "1.0.0", "numpy": "2.0.0"},
        "host": "node7",
        "started": "2026-03-01T12:00:00+00:00",
        "device": "NVIDIA A100",
        "wall_s": 123.4,
        "cpu_s": 120.0,
    }


def _write(path: Path, columns: tuple[str, ...], rows: list[dict]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def cost(command: list, folder: Path) -> tuple[float, float, float]:
    """Wall seconds, CPU-seconds and peak MiB of a command."""
    start = time.perf_counter()
    process = os.posix_spawn(command[0], list(map(str, command)), os.environ | {"PWD": str(folder)})
    _, status, used = os.wait4(process, 0)
    if status:
        sys.exit(f"{command}: exit code {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=int, nargs="+", default=[1000, 10000])
    args = parser.parse_args()
    print(f"{'artifacts':>9}{'wall s':>8}{'CPU-s':>8}{'MiB':>6}")
    for artifacts in args.artifacts:
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            study = plan(artifacts // 3, ("train", "prune", "evaluate"))
            path = write_plan(root, study)
            finish(root, study)
            os.chdir(root)
            wall, cpu, memory = cost([PYTHON, SCRIPTS / "write_page.py", path.parent, "--plan", path], root)
            print(f"{len(study['runs']):9}{wall:8.1f}{cpu:8.1f}{memory:6.0f}", flush=True)
            os.chdir("/")


if __name__ == "__main__":
    main()
