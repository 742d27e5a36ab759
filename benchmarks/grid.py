"""Times a whole grid from the shell prompt to its figures: Espalier against the ways in which it is done today.

    python benchmarks/grid.py [--rounds 5] [--arms espalier control python accelerate hydra]

The 32 settings of the published sweep (2 networks, 2 augmentations, 2 optimizers, 2 rates, 2 schedules) on the digits.

- espalier: `snakemake -c2`, with every table, figure and the page;
- control: the same again;
- python: one `python train.py` a run, with torchvision's transforms and a DataLoader;
- accelerate: the same script, one `accelerate launch` a run;
- hydra: the same script under Hydra with its joblib launcher; `uv run --with` brings Hydra in an environment of its
  own, and where that cannot be had the arm is left out.

Every arm has two runs at once, of one thread each: on networks of this size that takes the fewest CPU-seconds.

Arms take turns. CPU-seconds cover every process between the prompt and the last figure, also those that outlive the
process that started them. Those of the other tools leave out the preparation of the data: they are given the file. The
parts are what the runs record themselves, and the rest: `workflow` is everything between the runs, for Espalier with
the one process that imports torch. Espalier's data is measured by making the same batches alone.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from demo import PARTS, PYTHON, ROOT, SNAKEMAKE, timed, timed_all
from rivals.train import AXES
from turns import cpu_seconds, hardware, over, row, spread, versions

sys.path.insert(0, str(ROOT))

from espalier.data.policy import Policy
from espalier.data.resident import Resident
from espalier.settings.words import parse
from espalier.stages import STAGES

RIVALS = ROOT / "benchmarks/rivals"
EPOCHS = 12
STUDY = """\
title: The sweep of 32 runs, on the digits
dataset: digits
train: {epochs: 12, batch_size: 64}
grid:
  - product:
      model: {small: {name: resnet, channels: [8, 16, 32]}, wide: {name: resnet, channels: [12, 24, 48]}}
      augment:
        basic: &basic
          - {name: pad_crop, padding: 1}
          - horizontal_flip
          - {name: rotation, degrees: 15}
          - {name: color_jitter, brightness: 0.2, contrast: 0.2, saturation: 0.2, hue: 0.1}
        mixed:
          - {name: pad_crop, padding: 1}
          - horizontal_flip
          - {name: rotation, degrees: 15}
          - {name: color_jitter, brightness: 0.2, contrast: 0.2, saturation: 0.2, hue: 0.1}
          - mixup_or_cutmix
      train.optimizer: {sgd: {name: sgd, weight_decay: 1e-3}, adam: {name: adam, weight_decay: 1e-3}}
      train.optimizer.lr: [1e-4, 1e-2]
      train.scheduler: {plateau: {name: plateau, factor: 0.1, patience: 5}, cosine: cosine}
tables: [summary]
figures:
  - curves
  - {name: curves, axis: train.scheduler}
  - {name: by_axis, axis: model}
  - {name: by_axis, axis: augment}
  - {name: by_axis, axis: train.optimizer}
  - {name: by_axis, axis: train.optimizer.lr}
  - {name: by_axis, axis: train.scheduler}
"""
PARTS_OF_A_GRID = ("start-up", "data", "training", "plots", "workflow")


def settings() -> list[dict[str, str]]:
    return [dict(zip(AXES, map(str, values), strict=True)) for values in itertools.product(*AXES.values())]


def espalier(folder: Path, data: Path) -> dict[str, float]:
    """One grid by Espalier, its data set prepared too."""
    place = folder / "espalier"
    place.mkdir()
    for part in PARTS:
        (shutil.copytree if (ROOT / part).is_dir() else shutil.copy2)(ROOT / part, place / part)
    (place / "config/studies/rivals.yaml").write_text(STUDY)
    total, wall = timed([SNAKEMAKE, "-c2", "--config", "studies=rivals"], place)
    runs = [json.loads(path.read_text()) for path in place.glob("results/runs/*/*/run.json")]
    trained = [run for run in runs if run["stage"] == "train"]
    assert len(trained) == len(settings()), f"{len(trained)} runs"
    plan = "results/studies/rivals/plan.json"
    words = ["workflow/scripts/write_page.py", "again", "--plan", plan]
    plots = timed([PYTHON, *words], place)[0]
    start = sum(run["startup_cpu_s"] for run in trained)
    loading = sum(making(place / run["data"]["path"], run["command"]) for run in trained)
    within = sum(run["cpu_s"] for run in runs if run["stage"] in ("train", "evaluate"))
    parts = {"start-up": start, "data": loading, "training": within - start - loading, "plots": plots}
    return parts | {"workflow": total - within - plots, "total": total, "wall": wall}


def making(data_file: Path, command: str) -> float:
    """CPU-seconds that the batches of a run take by themselves."""
    import shlex

    words = [word for word in shlex.split(command) if "=" in word and not word.startswith("-")]
    spec = parse(STAGES["train"].settings, words)
    resident, policy = Resident.load(data_file, torch.device("cpu")), Policy(spec.augment)
    begun = cpu_seconds()
    for epoch in range(1, EPOCHS + 1):
        for _ in resident.train_batches(policy, epoch=epoch, seed=0, batch_size=64, channels_last=True):
            pass
    return cpu_seconds() - begun


def rival(launch: list) -> Callable[[Path, Path], dict[str, float]]:
    """One process a run."""

    def grid(folder: Path, data: Path) -> dict[str, float]:
        runs = []
        for number, setting in enumerate(settings()):
            words = [word for axis, value in setting.items() for word in (f"--{axis}", value)]
            run = [*launch, RIVALS / "train.py", folder / f"runs/{number}", "--data", data, *words]
            runs.append([*ONE_THREAD, *run, "--epochs", str(EPOCHS)])
        return summed(folder, *timed_all(runs, folder, at_once=2))

    return grid


def hydra(folder: Path, data: Path) -> dict[str, float]:
    axes = [f"+{axis}={','.join(map(str, values))}" for axis, values in AXES.items()]
    joblib = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", f"hydra.sweep.dir={folder}/hydra"]
    words = [f"+folder={folder}/runs", f"+data={data}", f"+epochs={EPOCHS}"]
    return summed(
        folder, *timed([*ONE_THREAD, *HYDRA, RIVALS / "hydra_app.py", "--multirun", *axes, *joblib, *words], folder)
    )


def summed(folder: Path, total: float, wall: float) -> dict[str, float]:
    plots, plots_wall = timed([PYTHON, RIVALS / "plots.py", folder / "runs"], folder)
    found = [json.loads(path.read_text())["times"] for path in folder.glob("runs/*/result.json")]
    assert len(found) == len(settings()), f"{len(found)} runs"
    parts = {part: sum(times[part] for times in found) for part in ("start-up", "data", "training")}
    rest = total - sum(parts.values())
    return parts | {"plots": plots, "workflow": rest, "total": total + plots, "wall": wall + plots_wall}


ONE_THREAD = ["env", "OMP_NUM_THREADS=1"]
UV = shutil.which("uv") or str(ROOT / ".uv/bin/uv")
HYDRA = [
    UV,
    "run",
    "--project",
    ROOT,
    "--no-sync",
    "--with",
    "hydra-core==1.3.2",
    "--with",
    "hydra-joblib-launcher==1.2.0",
    "python",
]
ACCELERATE = [Path(PYTHON).with_name("accelerate"), "launch", "--cpu", "--num_processes=1", "--num_machines=1"]
ARMS = {
    "espalier": espalier,
    "control": espalier,
    "python": rival([PYTHON]),
    "accelerate": rival([*ACCELERATE, "--mixed_precision=no", "--dynamo_backend=no"]),
    "hydra": hydra,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    arms = list(args.arms)
    if "hydra" in arms:
        tried = subprocess.run([*HYDRA, "-c", "import hydra"], cwd=ROOT, capture_output=True, text=True, check=False)
        if tried.returncode:
            print(f"hydra left out: {(tried.stderr.strip().splitlines() or ['no reason'])[-1]}", file=sys.stderr)
            arms.remove("hydra")
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in arms}
    with tempfile.TemporaryDirectory() as name:
        data = Path(name, "data-00000000aa.safetensors")
        timed([PYTHON, ROOT / "workflow/scripts/stage.py", "prepare", data, "dataset=digits"], Path(name))
        for number in range(args.rounds):
            for arm in arms[number % len(arms) :] + arms[: number % len(arms)]:
                folder = Path(name, f"{arm}-{number}")
                folder.mkdir()
                found[arm].append(ARMS[arm](folder, data))
                print(f"round {number + 1}: {arm} {found[arm][-1]['total']:.0f} CPU-s", file=sys.stderr, flush=True)
                shutil.rmtree(folder)
    where = torch.device("cpu")
    print(f"{hardware(where)}; {versions()}; load {os.getloadavg()[0]:.1f}; {args.rounds} rounds\n")
    row("way", *(f"{part}, CPU-s" for part in PARTS_OF_A_GRID), "all, CPU-s", "range", "÷ espalier", "range", "wall s")
    row(*["---"] + ["---:"] * 10)
    for arm, rounds in found.items():
        cells = [spread([each[part] for each in rounds], 0)[0] for part in PARTS_OF_A_GRID]
        total = [each["total"] for each in rounds]
        ratio = (
            spread(over(total, [each["total"] for each in found["espalier"]]), 2) if "espalier" in found else ("", "")
        )
        row(arm, *cells, *spread(total, 0), *ratio, spread([each["wall"] for each in rounds], 0)[0])


if __name__ == "__main__":
    main()
