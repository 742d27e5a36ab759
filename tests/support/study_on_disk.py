"""A believable study on disk, as the plan and its runs leave it, for the tests of the results room."""

import hashlib
import itertools
import json
import os
import platform
import time
from pathlib import Path
from types import MappingProxyType

import numpy as np

from espalier.runs.columns import HISTORY, LAYERS, write_rows
from espalier.settings.registry import entries
from espalier.stages import STAGES
from support.sealed import reseal, seal

AXES = MappingProxyType(
    {
        "model": {
            "ResNet 8-16-32": (19_802, 1_310_000),
            "ResNet 16-32-64": (77_754, 5_140_000),
            "LeNet": (31_326, 214_000),
        },
        "augment": {"none": -0.5, "crop": 0.0, "crop + cutout": 0.15},
        "train.optimizer": {"SGD": 0.0, "AdamW": -0.2, "RMSprop": -0.9},
    }
)
BASELINE = MappingProxyType({"model": "ResNet 8-16-32", "augment": "crop", "train.optimizer": "SGD"})
TOP1 = MappingProxyType({"ResNet 8-16-32": 98.4, "ResNet 16-32-64": 98.9, "LeNet": 97.1})
EPOCHS = 6


RATIOS = (0.3, 0.5, 0.7)
"""What `pruned` adds to a study: channels removed at these ratios from the baseline, at a price."""


def of_training(kind: str) -> list[str]:
    """Tables or figures that are made of trained runs alone, and ask for no setting but an axis."""
    found = (name for name, entry in entries(kind).items() if not {"stage", "reads", "halving"} & entry.facts.keys())
    return [name for name in found if required(kind, name) <= {"axis"}]


def required(kind: str, name: str) -> set[str]:
    """Settings of a table or figure that have no default."""
    return {key for key, (_, default, _) in entries(kind)[name].settings.items() if default is ...}


def pruned(study: dict) -> dict:
    """The study with every repeat of its baseline pruned at three ratios, as its last points."""
    axes = ("prune", "prune.ratio")
    points = [point | {"labels": point["labels"] | dict.fromkeys(axes, "–")} for point in study["points"]]
    runs = dict(study["runs"])
    for ratio in RATIOS:
        for point in (point for point in study["points"] if point["labels"] == dict(BASELINE)):
            ids = dict(point["runs"])
            ids["prune"] = _id("prune", ids["train"], ratio)
            ids["evaluate"] = _id("evaluate", ids["prune"])
            settings = {"prune.name": "structured", "prune.ratio": ratio, "seed": point["repeat"]}
            runs[ids["prune"]] = _run("prune", f"results/runs/prune/net-{ids['prune']}", ids["train"], settings)
            runs[ids["evaluate"]] = _run("evaluate", f"results/runs/evaluate/net-{ids['evaluate']}", ids["prune"], {})
            labels = point["labels"] | {"prune": "channels", "prune.ratio": str(ratio)}
            points.append(point | {"labels": labels, "runs": ids})
    baseline = study["baseline"] | dict.fromkeys(axes, "–")
    return study | {"axes": [*study["axes"], *axes], "baseline": baseline, "points": points, "runs": runs}


def one_factor() -> list[dict[str, str]]:
    """The baseline, and every point that differs from it in one axis."""
    found = [dict(BASELINE)]
    for axis, values in AXES.items():
        found += [dict(BASELINE) | {axis: label} for label in values if label != BASELINE[axis]]
    return found


def product() -> list[dict[str, str]]:
    """Every combination."""
    return [dict(zip(AXES, labels, strict=True)) for labels in itertools.product(*AXES.values())]


def settings_of(labels: dict[str, str], seed: int) -> dict[str, object]:
    """Resolved settings of a training run, flat, whatever the labels are."""
    return {
        "model.name": labels["model"].split()[0].lower(),
        "model.channels": labels["model"].rpartition(" ")[2],
        "augment": [{"name": name} for name in labels["augment"].split(" + ") if name != "none"],
        "train.epochs": EPOCHS,
        "train.optimizer.name": labels["train.optimizer"].lower(),
        "train.optimizer.lr": 0.1 if labels["train.optimizer"] == "SGD" else 3e-3,
        "seed": seed,
    }


def plan(configurations=None, repeats: int = 3, **changes) -> dict:
    """The content of a plan.json."""
    configurations = one_factor() if configurations is None else configurations
    data = _id("digits")
    runs = {data: _run("prepare", f"results/data/digits-{data}.safetensors", None, {"dataset.name": "digits"})}
    points = []
    for labels, repeat in itertools.product(configurations, range(repeats)):
        train = _id(labels, repeat)
        slug = f"net-{train}"
        settings = settings_of(labels, repeat)
        runs[train] = _run("train", f"results/runs/train/{slug}", data, settings)
        evaluate = _id(train)
        runs[evaluate] = _run("evaluate", f"results/runs/evaluate/net-{evaluate}", train, {})
        for id_, before in ((train, []), (evaluate, ["--parents", runs[train]["path"]])):
            one = runs[id_]
            one["command"][4:4] = [*before, "--data", runs[data]["path"]]
        ids = {"prepare": data, "train": train, "evaluate": evaluate}
        points.append({"labels": labels, "repeat": repeat, "runs": ids})
    axes = list(AXES)
    return {
        "study": "demo",
        "title": "Small choices on handwritten digits",
        "description": "How much do the network, the augmentation and the optimizer matter?",
        "source": "config/studies/demo.yaml",
        "axes": axes,
        "repeats": repeats,
        "baseline": dict(BASELINE),
        "tables": [
            {"key": "summary", "name": "summary"},
            *({"key": f"by_axis-{axis}", "name": "by_axis", "axis": axis} for axis in axes),
            {"key": "best", "name": "best", "count": 3},
        ],
        "figures": [
            {"key": "curves", "name": "curves", "axis": None},
            *({"key": f"curves-{axis}", "name": "curves", "axis": axis} for axis in axes),
            *({"key": f"by_axis-{axis}", "name": "by_axis", "axis": axis} for axis in axes),
            *({"key": f"tradeoff-{x}", "name": "tradeoff", "x": x} for x in ("params", "macs", "train_time")),
        ],
        "points": points,
        "runs": runs,
    } | changes


def write_plan(root: Path, study: dict) -> Path:
    """Write results/studies/<study>/plan.json below `root`."""
    path = root / "results/studies" / study["study"] / "plan.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(study))
    return path


def finish(root: Path, study: dict, seed: int = 0) -> None:
    """Write every run of the study as done, with made-up but plausible numbers."""
    generator = np.random.default_rng(seed)
    for point in study["points"]:
        data, train, evaluate = (study["runs"][point["runs"][stage]] for stage in ("prepare", "train", "evaluate"))
        prepared = root / data["path"]
        prepared.parent.mkdir(parents=True, exist_ok=True)
        prepared.touch()
        top1 = TOP1.get(point["labels"]["model"], 98.0)
        top1 += sum(AXES[axis].get(point["labels"][axis], 0.0) for axis in ("augment", "train.optimizer"))
        rows = _history(generator, top1)
        best = max(rows, key=lambda row: row["validation_top1"])
        _write_train(
            root, train, point["runs"]["train"], rows, best, AXES["model"].get(point["labels"]["model"], (5, 6))
        )
        if "prune" in point["runs"]:
            top1 -= 4 * float(point["labels"]["prune.ratio"])
            _write_pruned(root, study["runs"][point["runs"]["prune"]], point["runs"]["prune"], best)
        _write_evaluate(root, evaluate, point["runs"]["evaluate"], min(100.0, top1 + generator.normal(0, 0.25)))


def _write_pruned(root: Path, run: dict, id_: str, best: dict) -> None:
    folder, left = root / run["path"], 1 - run["settings"]["prune.ratio"]
    params, macs = AXES["model"][BASELINE["model"]]
    row = {key: best[key] for key in STAGES["prune"].metrics if key in HISTORY}
    row |= {"run": id_, "parent": run["parent"], "params": params * left**2, "macs": macs * left**2}
    row |= {"nonzeros": params * left**2, "sparsity": 0.0, "params_left": 100 * left**2, "macs_left": 100 * left**2}
    row |= {"file_bytes": 4 * params * left**2 + 3000, "rounds": 1, "epochs": EPOCHS, "best_epoch": best["epoch"]}
    for batch, before in ((1, 0.9), (64, 8.0)):
        row |= {f"latency_{batch}_ms": before * left, f"latency_{batch}_iqr_ms": 0.1, f"speedup_{batch}": 1 / left}
    row |= {"wall_s": 3.0, "cpu_s": 3.0, "peak_memory_mib": 300.0}
    write_rows(folder / "metrics.csv", STAGES["prune"].metrics, [row])
    layers = [{"layer": name, "weights": 100, "nonzeros": 100, "sparsity": 0.0} for name in ("stem", "classifier")]
    write_rows(folder / "layers.csv", LAYERS, layers)
    seal(folder, run["stage"], run["parent"])


def undo(root: Path, run: dict, state: str, /, **said: object) -> None:
    """Take a finished run back to `state`: waiting, running, failed or lost."""
    folder = root / run["path"]
    for name in ("metrics.csv", "run.json", "heartbeat.json", "run.log"):
        (folder / name).unlink(missing_ok=True)
    if state == "waiting":
        (folder / "history.csv").unlink(missing_ok=True)
        return
    log = ["2026-03-01 12:00:00 INFO started"]
    if state == "failed":
        log += ["Traceback (most recent call last):", "RuntimeError: CUDA out of memory"]
    (folder / "run.log").write_text("\n".join(log) + "\n")
    old = {"lost": 600.0}.get(state, 0.0)
    beat = {"state": "running" if state == "lost" else state, "pid": os.getpid(), "host": platform.node()}
    beat |= {"time": time.time() - old, "epoch": 3, "epochs": EPOCHS, "top1": 91.25, "seconds_left": 75.0}
    (folder / "heartbeat.json").write_text(json.dumps(beat | said))


def diverge(root: Path, study: dict, point: dict) -> None:
    """Let the training of a point have diverged, so that the runs after it were not run."""
    runs = [study["runs"][id_] for stage, id_ in point["runs"].items() if stage != "prepare"]
    first = Path(runs[0]["path"])
    for run in runs:
        folder = root / run["path"]
        (folder / "metrics.csv").unlink()
        if run is runs[0]:
            reseal(folder, outcome="diverged", reason="epoch 6: the training loss is nan")
        else:
            reseal(folder, outcome="not run", reason=f"{first.name} diverged", because=first.name, device=None)


def _id(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]


def _run(stage: str, path: str, parent: str | None, settings: dict) -> dict:
    words = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    return {
        "stage": stage,
        "path": path,
        "parent": parent,
        "command": ["python", "workflow/scripts/stage.py", stage, path, *words],
        "words": words,
        "settings": settings,
    }


def _history(generator: np.random.Generator, top1: float) -> list[dict]:
    rows = []
    for epoch in range(1, EPOCHS + 1):
        gap = 55 * np.exp(-0.95 * epoch) + abs(generator.normal(0, 0.2))
        found = min(100.0, top1 + 0.2 - gap)
        train_loss, validation_loss = 0.06 + (100 - found) / 30, 0.04 + (100 - found) / 32
        values = (epoch, 0.1, train_loss, found - 1.5, validation_loss, found, min(100.0, found + 2), found, 8e3, 0.7)
        rows.append(dict(zip(HISTORY, values, strict=True)))
    return rows


def _write_train(root: Path, run: dict, id_: str, rows: list[dict], best: dict, size: tuple[int, int]) -> None:
    folder = root / run["path"]
    write_rows(folder / "history.csv", HISTORY, rows)
    measured = {key: best[key] for key in STAGES["train"].metrics if key in HISTORY}
    params, macs = size
    # Larger networks take longer: a second and 40 ns a MAC.
    wall = 1.0 + 40e-9 * macs * 20
    row = {"run": id_, "parent": run["parent"], "params": params, "macs": macs, "epochs": EPOCHS}
    row |= measured | {"best_epoch": best["epoch"], "wall_s": wall, "cpu_s": wall, "peak_memory_mib": 310.0}
    write_rows(folder / "metrics.csv", STAGES["train"].metrics, [row])
    seal(folder, run["stage"], run["parent"])


def _write_evaluate(root: Path, run: dict, id_: str, top1: float) -> None:
    folder = root / run["path"]
    row = {"run": id_, "parent": run["parent"], "images": 360, "test_loss": 0.08, "test_top1": top1}
    row |= {"test_top5": 99.9, "test_balanced_top1": top1, "mean_corruption_error": ""}
    row |= {"wall_s": 0.4, "cpu_s": 0.4, "peak_memory_mib": 300.0}
    write_rows(folder / "metrics.csv", STAGES["evaluate"].metrics, [row])
    seal(folder, run["stage"], run["parent"])
