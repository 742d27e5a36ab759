"""Seconds an epoch, door to door: whole training runs, from the shell prompt to the end of the process.

    ESPALIER_DATA=ROOT python benchmarks/epoch.py [--device cuda] [--epochs 10] [--rounds 5] [--images 1000]
        [--networks resnet18_cifar …] [--ways fp32 bf16 "bf16 compiled"] [--threads 1]

A run is a stage.py train as a process of its own, on CIFAR-10 where ESPALIER_DATA has it, else on the digits.
The clock covers all of it: interpreter, imports, loading, the device's start, compilation (from an empty cache each
time), augmentation, every step, validation of every epoch, checkpoints, the artifact, and the end of all processes that
it started. Outside of it, and in columns of their own: preparing the data set, once for all runs, and scoring the test
split, which is a process too and timed from prompt to end. --images cuts all three splits to a part, for a CPU.

Seconds an epoch are those of the whole run over its epochs; what its history says of them follows: the first epoch,
the median of the others with the part of it that is validation, and what of the run lies outside of its epochs.
Arms take turns in an order that changes from round to round, a ratio is one within a round, and the first way of each
network is run a second time as a control.
"""

import argparse
import csv
import os
import statistics
import sys
import tempfile
import time
from contextlib import chdir
from pathlib import Path

import torch
from data_path import prepare
from demo import PYTHON, ROOT, timed
from turns import hardware, over, row, spread, versions

sys.path.insert(0, str(ROOT))

from espalier.data.prepared import Prepared
from espalier.plan.build import build
from espalier.site.pilot.gpus import gpus

SCRIPTS = ROOT / "workflow/scripts"
WAYS = {
    "fp32": [],
    "fp32 compiled": ["train.compile=true"],
    "bf16": ["train.precision=bf16"],
    "bf16 compiled": ["train.precision=bf16", "train.compile=true"],
}
PARTS = ("outside", "first", "later", "validation", "images", "top1", "cpu", "test")
HEADS = (
    "outside the epochs, s",
    "first epoch, s",
    "a later one, s",
    "of it validation, s",
    "images a s in steps",
    "validation top-1",
    "CPU-s an epoch",
    "test split, s",
)


def of_study(name: str) -> list[str]:
    """The words of a study's first training, without its length and its seed."""
    # Published numbers are named from there.
    with chdir(ROOT):
        points = build([name], Path("config/studies")).studies[name].points
    words = next(iter(points)).runs["train"].words
    return [word for word in words if not word.startswith(("train.epochs=", "seed="))]


CROP_FLIP = "augment=[{name: pad_crop, padding: 4}, horizontal_flip]"
NETWORKS = {
    "resnet18_cifar": ["model=resnet18_cifar", CROP_FLIP],
    "mobilenetv2 of report 004": of_study("mobilenetv2-compression"),
    "densenet121_cifar": ["model=densenet121_cifar", CROP_FLIP],
    "resnet20": ["model=resnet20", CROP_FLIP],
}


def trained(folder: Path, data: Path, words: list[str], environment: list[str]) -> dict[str, float]:
    """One run: part → seconds, and what it scored."""
    folder.mkdir()
    run, score = folder / "run-0000000001", folder / "score-0000000002"
    command = ["env", *environment, f"TORCHINDUCTOR_CACHE_DIR={folder}/compiled", f"TRITON_CACHE_DIR={folder}/triton"]
    cpu, wall = timed([*command, PYTHON, SCRIPTS / "stage.py", "train", run, "--data", data, *words], folder)
    _, test = timed(
        [*command, PYTHON, SCRIPTS / "stage.py", "evaluate", score, "--parents", run, "--data", data], folder
    )
    with (run / "history.csv").open() as file:
        history = [{name: float(value) for name, value in line.items()} for line in csv.DictReader(file)]
    images = len(Prepared.read(data, ("train",)).splits["train"].labels)
    seconds, later = [line["epoch_s"] for line in history], history[1:] or history
    return {
        "all": wall / len(history),
        "outside": wall - sum(seconds),
        "first": seconds[0],
        "later": statistics.median(line["epoch_s"] for line in later),
        "validation": statistics.median(line["epoch_s"] - images / line["images_per_s"] for line in later),
        "images": statistics.median(line["images_per_s"] for line in later),
        "top1": history[-1]["validation_top1"],
        "cpu": cpu / len(history),
        "test": test,
    }


def measure(network: str, data: Path, args: argparse.Namespace, environment: list[str]) -> None:
    """The lines of a network."""
    arms = [*args.ways, "A/A"]
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in arms}
    with tempfile.TemporaryDirectory() as name:
        for number in range(args.rounds):
            for arm in arms[number % len(arms) :] + arms[: number % len(arms)]:
                way = args.ways[0] if arm == "A/A" else arm
                words = [*NETWORKS[network], *WAYS[way], f"train.epochs={args.epochs}", f"seed={number}"]
                found[arm].append(trained(Path(name, f"{arms.index(arm)}-{number}"), data, words, environment))
                print(
                    f"round {number + 1}: {network}, {arm} {found[arm][-1]['all']:.2f} s", file=sys.stderr, flush=True
                )
    first = [each["all"] for each in found[args.ways[0]]]
    for arm, rounds in found.items():
        values = [each["all"] for each in rounds]
        label = f"control: {args.ways[0]} again" if arm == "A/A" else arm
        parts = [spread([each[part] for each in rounds], 0 if part == "images" else 2)[0] for part in PARTS]
        row(network, label, *spread(values, 2), *spread(over(first, values), 2), *parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda" if gpus() else "cpu")
    parser.add_argument("--epochs", type=int, default=10, help="of a run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, help="to train on; all unless told")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS)[:3])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["fp32", "bf16", "bf16 compiled"])
    parser.add_argument("--threads", type=int, help="of a run; as many as cores unless told")
    args = parser.parse_args()
    # What a run may see decides where it trains.
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus()[0] if args.device == "cuda" else ""
    environment = [f"OMP_NUM_THREADS={args.threads}"] if args.threads else []
    where = torch.device(args.device)
    with tempfile.TemporaryDirectory() as name:
        data, begun = Path(name, "data-00000000aa.safetensors"), time.perf_counter()
        prepare(data, args.images)
        preparing = time.perf_counter() - begun
        prepared = Prepared.read(data, ("train", "validation", "test"))
        sizes = ", ".join(f"{len(split.labels):,} {split_name}" for split_name, split in prepared.splits.items())
        print(f"{hardware(where)}; {versions()}; load {os.getloadavg()[0]:.1f}")
        print(f"`python benchmarks/epoch.py {' '.join(sys.argv[1:])}`: {prepared.settings['name']}, {sizes} images,")
        print(f"prepared in {preparing:.1f} s; {args.epochs} epochs a run; median and range of {args.rounds} rounds\n")
        row("network", "way", "s an epoch", "range", f"{args.ways[0]} ÷ it", "range", *HEADS)
        row("---", "---", *["---:"] * (4 + len(HEADS)))
        for network in args.networks:
            measure(network, data, args, environment)


if __name__ == "__main__":
    main()
