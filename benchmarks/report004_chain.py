"""Report 004's whole chain, MobileNetV2 trained, pruned, quantized at 36 settings and coded, over several calls.

    ESPALIER_DATA=ROOT python benchmarks/report004_chain.py FOLDER [--minutes 9] [key=value …]

Plans the study mobilenetv2-compression, with keys as behind `snakemake --config` (scale=smoke for a CPU,
protocol=published, 'train={precision: bf16}'), and makes its runs in FOLDER one by one, each by its script with the
words that the workflow gives it; Snakemake need not be there. When --minutes are over, or at SIGTERM, the run under way
saves its state and the program ends with 75; the same command goes on to the same bits, also where FOLDER was brought
to another machine of the kind. The prepared data set is made again as it was, so that

    tar -C FOLDER --exclude results/data -cJ . | split -b 15M - FOLDER.tar.xz.

keeps all there is to keep. results/ has the workflow's layout: in a repository, the same study makes its tables and
pages of it.

Ends with a table beside the report's numbers and one of the time of each run, whose clock covers its processes from
their start to their end: imports, loading, compilation, every step and validation, saving, and what a stopped one did
in vain.
"""

import argparse
import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import chdir
from datetime import UTC, datetime
from pathlib import Path

import torch
from demo import PYTHON, ROOT
from turns import hardware, row, versions

sys.path.insert(0, str(ROOT))

from ruamel.yaml import YAML

from espalier.files import write_text
from espalier.plan.build import PlannedStudy, build
from espalier.plan.manifest import manifest
from espalier.plan.runs import SCRIPT, Run
from espalier.runs.interruption import STOPPED
from espalier.site.pilot.gpus import gpus
from espalier.stages import STAGES

STUDY = "mobilenetv2-compression"
REPORT = {"train": "Original", "prune": "Pruned", "encode": "Sparse Compressed"}
"""Stage → how the report's table calls its network."""
NETWORK = {"train": "model.safetensors", "prune": "model.safetensors", "encode": "model.esp"}
GO_ON = ("train", "prune", "quantize")
"""Stages that save their state; the others take seconds to minutes and begin anew."""
LEAST_S = 10.0
"""With less time left nothing is begun: it would be over before the first step."""
TIMES = ("started", "stage", "run", "seconds", "code", "machine")


class Chain:
    """The runs of a study, made in a folder until a deadline or a signal."""

    def __init__(self, planned: PlannedStudy, folder: Path, deadline: float, machine: str) -> None:
        self.runs = {run.id: run for point in planned.points for run in point.runs.values()}
        self.folder, self.deadline, self.machine = folder, deadline, machine
        self.stopped = False
        self._process: subprocess.Popen | None = None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._stop)

    def go_on(self) -> bool:
        """Make runs; whether all are there."""
        while ready := [run for run in self.runs.values() if not self.done(run) and all(map(self.done, _reads(run)))]:
            # What is furthest along comes first, so that a stop leaves as many scores as can be.
            run = max(ready, key=lambda run: [*STAGES].index(run.stage))
            if self.stopped or self.left() < LEAST_S or self._made(run) == STOPPED:
                return False
        return True

    def done(self, run: Run) -> bool:
        path = self.folder / run.path
        return (path if run.stage == "prepare" else path / "run.json").exists()

    def left(self) -> float:
        return self.deadline - time.monotonic()

    def _made(self, run: Run) -> int:
        """Make a run, or a part of it; the exit code."""
        words = [PYTHON, str(ROOT / SCRIPT), *run.command[2:]]
        if run.stage in GO_ON and math.isfinite(self.deadline):
            words += ["--minutes", f"{self.left() / 60:.3f}"]
        started, begun = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
        # A group of its own, or Ctrl-C would reach it twice.
        self._process = subprocess.Popen(words, cwd=self.folder, process_group=0)
        if self.stopped:
            self._process.terminate()
        try:
            self._process.wait(self.left() if math.isfinite(self.deadline) else None)
        except subprocess.TimeoutExpired:
            self.stopped = True
            self._process.terminate()
        code = self._process.wait()
        if self.stopped and code in (-signal.SIGTERM, 128 + signal.SIGTERM):
            code = STOPPED
        seconds = round(time.monotonic() - begun, 2)
        self._note(dict(zip(TIMES, (started, run.stage, run.id, seconds, code, self.machine), strict=True)))
        if code not in (0, STOPPED):
            sys.exit(f"{run.path} ended with {code}; its run.log says why")
        return code

    def _stop(self, *_: object) -> None:
        self.stopped = True
        if self._process:
            self._process.terminate()

    def _note(self, line: dict) -> None:
        path = self.folder / "times.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, TIMES)
            if new:
                writer.writeheader()
            writer.writerow(line)


def _reads(run: Run) -> list[Run]:
    return [] if run.stage == "prepare" else [run.data, *run.before]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [*csv.DictReader(file)]


def compared(chain: Chain, planned: PlannedStudy) -> None:
    """A row a network, beside the report's."""
    published = {line["stage"]: line for line in read(ROOT / "config/published/mobilenetv2_stages_cifar10.csv")}
    scores = {}
    for path in chain.folder.glob("results/runs/evaluate/*/scores.csv"):
        scores |= {line["run"]: float(line["test_top1"]) for line in read(path) if line["kept"] == "1"}
    row("network", "test top-1 (%)", "the report", "weights that are zero (%)", "file (MiB)", "the report")
    row("---", *["---:"] * 5)
    for run in chain.runs.values():
        if run.stage not in NETWORK or not chain.done(run):
            continue
        (metrics,) = read(chain.folder / run.path / "metrics.csv")
        size = (chain.folder / run.path / NETWORK[run.stage]).stat().st_size / 2**20
        theirs = published[REPORT[run.stage]]
        point = next(point for point in planned.points if run in point.runs.values())
        labels = (label for axis, label in point.labels.items() if axis.split(".")[0] in ("quantize", "encode"))
        name = ", ".join([run.stage, *(labels if run.stage == "encode" else ())])
        top1 = f"{scores[run.id]:.2f}" if run.id in scores else ""
        row(name, top1, theirs["top1_pct"], metrics.get("sparsity", ""), f"{size:.3f}", theirs["size_mib"])


def timed(chain: Chain) -> None:
    """A row a run: its time over all calls."""
    lines = read(chain.folder / "times.csv")
    row("run", "processes", "seconds", "on")
    row("---", "---:", "---:", "---")
    for run in chain.runs.values():
        own = [line for line in lines if line["run"] == run.id]
        seconds = sum(float(line["seconds"]) for line in own)
        state = "" if chain.done(run) else ", not done"
        row(f"{run.stage} {run.id}{state}", len(own), f"{seconds:,.0f}", "; ".join({line["machine"] for line in own}))
    row("all", len(lines), f"{sum(float(line['seconds']) for line in lines):,.0f}", "")


def main() -> None:
    begun = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where results are and are gone on from")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop before so many are over")
    parser.add_argument("settings", nargs="*", help="keys of the study that differ, as key=value")
    args = parser.parse_intermixed_args()
    overrides = {
        key: YAML(typ="safe", pure=True).load(text) for key, _, text in (s.partition("=") for s in args.settings)
    }
    # Published numbers are named from there.
    with chdir(ROOT):
        (planned,) = build([STUDY], Path("config/studies"), overrides).studies.values()
    args.folder.mkdir(parents=True, exist_ok=True)
    write_text(args.folder / "plan.json", json.dumps(manifest(planned), indent=1) + "\n")
    if source := os.environ.get("ESPALIER_DATA"):
        os.environ["ESPALIER_DATA"] = str(Path(source).resolve())
    machine = hardware(torch.device("cuda" if gpus() else "cpu"))
    chain = Chain(planned, args.folder, begun + 60 * args.minutes, machine)
    whole = chain.go_on()
    print(f"`python benchmarks/report004_chain.py FOLDER {' '.join(sys.argv[2:])}`, {datetime.now(UTC):%Y-%m-%d}")
    print(f"{machine}; {versions()}; load {os.getloadavg()[0]:.1f}\n")
    compared(chain, planned)
    print()
    timed(chain)
    sys.exit(0 if whole else STOPPED)


if __name__ == "__main__":
    main()
