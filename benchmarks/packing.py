"""Measures what K runs at once gain over the same runs one after the other on equal cores, and checks that bits agree.

    python benchmarks/packing.py [--together 1 2 4 8] [--rounds 5] [--dataset cifar10 …] [--networks resnet18_cifar …]
        [key=value …]

Every run is stage.py train as a process of its own that claims a slot of a pilot, as under profiles/pilot.
Arms take turns in each round: the K runs one after the other, with all cores each; the K runs at once, with their share
of the cores; and the runs one after the other again, which shows how far the machine agrees with itself (A/A). The
clock covers whole processes, from start to end: imports, loading, steps, validation, writing; it leaves out the
preparation of the data set. Then one run of each K is repeated alone with as many threads, and must write the same
tables.

Where there are GPUs the runs share the first. Where an MPS server can be started, or CUDA_MPS_PIPE_DIRECTORY names one,
the runs at once under it are one more arm; the others do without it. CPU-seconds are printed beside the time on the
clock: on a machine that others use, many processes get more of it than one.
"""

import argparse
import csv
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from demo import ROOT
from epoch import NETWORKS
from turns import hardware, over, row, spread, versions

sys.path.insert(0, str(ROOT))

from espalier.site.device import cores
from espalier.site.pilot.board import Pilot
from espalier.site.pilot.gpus import gpus

RUN = ["model={name: resnet, channels: [8, 16, 32]}", "augment=[pad_crop]", "train.epochs=4", "train.batch_size=64"]
PIPE = "CUDA_MPS_PIPE_DIRECTORY"
LABELS = {"in turn again": "A/A"}
MOODS = ("run", "images_per_s", "epoch_s", "wall_s", "cpu_s", "peak_memory_mib")


@contextmanager
def server(folder: Path) -> Iterator[dict[str, str]]:
    """Start an MPS server for the block; yields the environment variables of its clients, empty if none works."""
    folder.mkdir()
    given = os.environ.pop(PIPE, None)
    told = {PIPE: given or str(folder), "CUDA_MPS_LOG_DIRECTORY": str(folder)}
    control = shutil.which("nvidia-cuda-mps-control")
    own = bool(gpus() and control and not given and "MIG" not in gpus()[0])
    if own:
        subprocess.run([control, "-d"], env=os.environ | told, check=False)
    try:
        first = [sys.executable, "-c", "import torch; torch.ones(1, device='cuda')"]
        works = (own or given) and not subprocess.run(first, env=os.environ | told, check=False).returncode
        yield told if works else {}
    finally:
        if own:
            subprocess.run([control], input="quit\n", text=True, env=os.environ | told, check=False)


def start(
    folder: Path, data: Path, words: list[str], seed: int, pilot: Pilot, told: dict[str, str]
) -> subprocess.Popen:
    script = [sys.executable, ROOT / "workflow/scripts/stage.py", "train", folder / f"run-{seed:010x}", "--data", data]
    environment = os.environ | pilot.environment | {"OMP_NUM_THREADS": str(pilot.threads)} | told
    return subprocess.Popen([*script, *words, f"seed={seed}"], env=environment, stderr=subprocess.PIPE, text=True)


def cost(seeds: range, together: int, pinned: bool, *run: Any) -> tuple[float, float]:
    """Wall and CPU seconds of the runs, so many at once; pinned ones keep to cores of their own."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    folder, data, words, pilot, told = run
    for first in range(0, len(seeds), together):
        group = []
        for place, seed in enumerate(seeds[first : first + together]):
            group.append(start(folder, data, words, seed, pilot, told))
            if pinned:
                mine = sorted(os.sched_getaffinity(0))[place * pilot.threads :][: pilot.threads]
                os.sched_setaffinity(group[-1].pid, mine or os.sched_getaffinity(0))
        for process in group:
            errors = process.communicate()[1]
            if process.returncode:
                sys.exit(f"a run ended with {process.returncode}:\n{errors}")
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def tables(folder: Path, seed: int) -> list[list[dict[str, str]]]:
    """history.csv and metrics.csv of a run, without what depends on the machine's mood."""
    found = []
    for name in ("history.csv", "metrics.csv"):
        with (folder / f"run-{seed:010x}" / name).open() as file:
            found.append(
                [{key: text for key, text in line.items() if key not in MOODS} for line in csv.DictReader(file)]
            )
    return found


def measure(name: str, runs: int, rounds: int, arms: list[str], data: Path, words: list[str], mps: dict) -> None:
    """A line of the table: so many runs of a network."""
    seeds = range(runs)
    names = ("in turn", *arms)
    found: dict[str, list[tuple[float, float]]] = {arm: [] for arm in names}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            here = Path(folder, str(number))
            one, share = Pilot.of(1, cores(), here / "one"), Pilot.of(runs, cores(), here / "slots")
            # The order changes from round to round, so that no arm is always first.
            for arm in names[number % len(names) :] + names[: number % len(names)]:
                pilot, together = (one, 1) if arm.startswith("in turn") else (share, runs)
                told = mps if arm == "MPS" else {}
                found[arm].append(cost(seeds, together, arm == "pinned", here / arm, data, words, pilot, told))
        cost(seeds[-1:], 1, False, here / "solo", data, words, share, {})
        shared = ("at once", *(["MPS"] if "MPS" in arms else []))
        same = all(tables(here / arm, seeds[-1]) == tables(here / "solo", seeds[-1]) for arm in shared)
    cells = []
    for which in (0, 1):
        times = {arm: [pair[which] for pair in pairs] for arm, pairs in found.items()}
        for arm in arms:
            cells += spread(over(times["in turn"], times[arm]), 2)
    row(name, runs, share.threads, *cells, "yes" if same else "NO")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--together", type=int, nargs="+", default=[1, 2, 4, 8], help="runs at once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dataset", default="digits", help="data set, by name or with its settings")
    parser.add_argument("--pinned", action="store_true", help="also at once with each run kept to cores of its own")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, help="runs as `epoch.py` has them, a line each")
    parser.add_argument("settings", nargs="*", default=RUN, help="settings of the runs, as key=value")
    args = parser.parse_intermixed_args()
    words = {name: [*NETWORKS[name], *args.settings] for name in args.networks or ()}
    words = words or {"": args.settings or RUN}
    where = torch.device("cuda" if gpus() else "cpu")
    if gpus():
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus()[0]
    # A server that ends may still write to its log.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, server(Path(name, "mps")) as mps:
        data = Path(name, "data-00000000aa.safetensors")
        prepare = [sys.executable, ROOT / "workflow/scripts/stage.py", "prepare", data, f"dataset={args.dataset}"]
        subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        served = "an MPS server" if mps else "no MPS server"
        print(f"{hardware(where)}; {cores()} cores for the runs; {served}; {versions()}; load {os.getloadavg()[0]:.1f}")
        for network, settings in words.items():
            print(f"{network or 'runs'}, {args.dataset}: {' '.join(settings)}")
        print(f"median and range of {args.rounds} rounds, in turn ÷ …\n")
        arms = ["at once", "in turn again", *(["MPS"] if mps else []), *(["pinned"] if args.pinned else [])]
        heads = [
            f"{head}, {kind}" for kind in ("wall", "CPU") for arm in arms for head in (LABELS.get(arm, arm), "range")
        ]
        row("network", "K", "threads", *heads, "same tables")
        row("---", *["---:"] * (3 + len(heads)))
        for network, settings in words.items():
            for runs in args.together:
                measure(network, runs, args.rounds, arms, data, settings, mps)


if __name__ == "__main__":
    main()
