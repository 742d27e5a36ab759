"""Chains that were pruned, exported, quantized and coded, as the plan and the stages leave them, made up."""

import csv
from pathlib import Path

from espalier.runs.columns import ANATOMY, FORMATS, GRID, LADDER, SCORES, write_rows
from espalier.stages import STAGES
from support import study_on_disk as disk
from support.sealed import seal

BITS = (32, 8, 6, 5, 4, 3)
WAYS = {
    "calibrated": {"quantize.scheme.name": "calibrated", "quantize.scheme.rounding": "compensated"},
    "plain": {"quantize.scheme.name": "calibrated", "quantize.scheme.rounding": "nearest"},
    "aware": {"quantize.scheme.name": "calibrated", "quantize.scheme.rounding": "nearest"},
}
LOSS = {"calibrated": 1.0, "plain": 4.0, "aware": 0.4}
KEPT = (4, 4)
TRAIN_BYTES, PRUNED_BYTES, CODED_BYTES = 80_000, 40_000, 5_000
PURPOSES = {
    "header": 48,
    "metadata": 352,
    "checksums": 100,
    "indices": 1_100,
    "weights": 2_400,
    "scales": 400,
    "other parameters": 600,
}
RUNGS = {"dense fp32": (70_000, 10_000), "xz -9e": (3_900, ""), "espalier": (3_500, ""), "order-0 entropy": (3_600, "")}


def plan(repeats: int = 2, ways=tuple(WAYS), prunings=("dense", "pruned"), export: bool = True) -> dict:
    """A plan of a plain chain, and of every way to quantize a dense and a pruned network."""
    axes = ["prune", "quantize"]
    points, runs = [], {}
    for pruning in prunings:
        for name in ("none", *ways):
            for repeat in range(repeats):
                ids: dict[str, str] = {}
                parent = None
                for stage, settings in _stages(pruning, name, repeat, export):
                    id_ = disk._id(stage, settings, ids.get(parent), [ids.get("export")] if stage == "evaluate" else [])
                    path = (
                        f"results/data/d-{id_}.safetensors" if stage == "prepare" else f"results/runs/{stage}/n-{id_}"
                    )
                    runs[id_] = disk._run(stage, path, ids.get(parent), settings)
                    ids[stage] = id_
                    parent = parent if stage == "export" else stage
                points.append({"labels": {"prune": pruning, "quantize": name}, "repeat": repeat, "runs": ids})
    named = {"study": "small", "title": "Small files", "description": "", "source": "config/studies/small.yaml"}
    baseline = {"prune": prunings[0], "quantize": "none"}
    wanted = {"tables": [], "figures": []}
    return named | wanted | {"axes": axes, "repeats": repeats, "baseline": baseline, "points": points, "runs": runs}


def finish(root: Path, study: dict) -> None:
    """Write every run as done; a repeat's accuracies are its number above the first's."""
    for point in study["points"]:
        runs = {stage: study["runs"][id_] | {"id": id_} for stage, id_ in point["runs"].items()}
        scores = []
        for stage, run in runs.items():
            folder = root / run["path"]
            if stage == "prepare":
                folder.parent.mkdir(parents=True, exist_ok=True)
                folder.touch()
            elif stage == "evaluate":
                last = scores[-1] if runs.keys() & {"export"} == set() else _of_line(scores)
                row = {"run": run["id"], "parent": run["parent"], "images": 360, "wall_s": 1.0, "cpu_s": 1.0}
                row |= {"peak_memory_mib": 300.0, "mean_corruption_error": ""}
                row |= {name: last[name] for name in ("test_loss", "test_top1", "test_top5", "test_balanced_top1")}
                write_rows(folder / "scores.csv", SCORES, scores)
                write_rows(folder / "metrics.csv", STAGES["evaluate"].metrics, [row])
            else:
                scores += _WRITERS[stage](folder, run, point)
            if stage != "prepare":
                seal(folder, stage, run["parent"])


def top1(point: dict, weight_bits: int = 32, activation_bits: int = 32) -> float:
    """Validation top-1 of a chain's network at these widths; test top-1 is one point lower."""
    found = 94.0 + point["repeat"] - (2.0 if "prune" in point["runs"] else 0.0)
    for bits, dear in ((weight_bits, 1.0), (activation_bits, 1.5)):
        found -= 0 if bits == 32 else dear * LOSS.get(point["labels"]["quantize"], 0) * 2 ** (6 - bits)
    return max(10.0, found)


def folder_of(root: Path, study: dict, place: int, stage: str) -> Path:
    """The folder of one run of a study's point."""
    return root / study["runs"][study["points"][place]["runs"][stage]]["path"]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [*csv.DictReader(file)]


def _stages(pruning: str, name: str, repeat: int, export: bool):
    yield "prepare", {"dataset.name": "digits"}
    yield "train", {"model.name": "resnet", "seed": repeat}
    if pruning != "dense":
        yield "prune", {"prune.name": "magnitude", "seed": repeat}
    if name != "none":
        yield "quantize", _quantize(name, repeat)
        if export:
            yield "export", {"export.int8": True}
        yield "encode", {"encode.fold": False}
    yield "evaluate", {"evaluate.predictions": False}


def _quantize(name: str, repeat: int) -> dict:
    widths = [[KEPT[0]], [KEPT[1]]] if name == "aware" else [list(BITS), list(BITS)]
    settings = WAYS[name] | {"quantize.weight_bits": widths[0], "quantize.activation_bits": widths[1]}
    keep = {"quantize.keep.weight_bits": KEPT[0], "quantize.keep.activation_bits": KEPT[1]}
    tune = {"quantize.fine_tune.epochs": 2} if name == "aware" else {"quantize.fine_tune": None}
    return settings | ({"quantize.keep": None} if name == "aware" else keep) | tune | {"seed": repeat}


def _of_line(scores: list[dict]) -> dict:
    return [row for row in scores if row["stage"] != "export"][-1]


def _measured(stage: str, run: dict, **measured: object) -> dict:
    row = dict.fromkeys(STAGES[stage].metrics, 1.0) | {"run": run["id"], "parent": run["parent"]}
    return {name: measured.get(name, value) for name, value in row.items()}


def _score(stage: str, run: dict, value: float, widths=(32, 32), form: str = "eager", kept: int = 1) -> dict:
    values = (stage, run["id"], *widths, form, kept, 360, 0.2, value - 1, 99.0, value - 1)
    return dict(zip(SCORES, values, strict=True))


def _train(folder: Path, run: dict, point: dict) -> list[dict]:
    before = point | {"runs": {"train": run["id"]}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(b"\0" * TRAIN_BYTES)
    row = _measured("train", run, params=20_000, validation_top1=top1(before))
    write_rows(folder / "metrics.csv", STAGES["train"].metrics, [row])
    return [_score("train", run, top1(before))]


def _prune(folder: Path, run: dict, point: dict) -> list[dict]:
    sizes = {"params": 20_000, "nonzeros": 9_000, "file_bytes": PRUNED_BYTES, "params_left": 100.0}
    row = _measured("prune", run, **sizes, validation_top1=top1(point), latency_1_ms=0.7, latency_64_ms=6.0)
    write_rows(folder / "metrics.csv", STAGES["prune"].metrics, [row])
    return [_score("prune", run, top1(point))]


def _export(folder: Path, run: dict, point: dict) -> list[dict]:
    forms = {"eager": (PRUNED_BYTES, 0.6), "ONNX fp32": (84_000, 0.2), "ONNX quantized": (31_000, 0.15)}
    if "prune" in point["runs"]:
        forms["eager, before pruning"] = (TRAIN_BYTES, 0.9)
    rows = []
    for form, (size, ms) in forms.items():
        row = dict.fromkeys(FORMATS, 0.0) | {"format": form, "file_bytes": size, "validation_top1": top1(point)}
        rows.append(row | {"latency_1_ms": ms, "latency_64_ms": 8 * ms, "speedup_1": 0.6 / ms, "speedup_64": 0.6 / ms})
    write_rows(folder / "formats.csv", FORMATS, rows)
    write_rows(folder / "metrics.csv", STAGES["export"].metrics, [_measured("export", run)])
    return [
        _score("export", run, top1(point) - loss, ("", ""), form)
        for form, loss in (("ONNX fp32", 0), ("ONNX quantized", 1))
    ]


def _write_grid(folder: Path, run: dict, point: dict) -> list[dict]:
    settings = run["settings"]
    rows, scores = [], []
    for weights in settings["quantize.weight_bits"]:
        for activations in settings["quantize.activation_bits"]:
            kept = int((weights, activations) == KEPT)
            found = top1(point, weights, activations)
            sizes = (0.002 * (weights + 16), 0.01 * activations)
            rows.append(dict(zip(GRID, (weights, activations, kept, *sizes, 0.2, found, 99.0), strict=True)))
            scores.append(_score("quantize", run, found, (weights, activations), kept=kept))
    write_rows(folder / "grid.csv", GRID, rows)
    own = {"weight_bits": KEPT[0], "activation_bits": KEPT[1], "params": 20_000, "nonzeros": 8_500}
    own |= {"activation_mib": 0.01 * KEPT[1], "file_bytes": PRUNED_BYTES, "validation_top1": top1(point, *KEPT)}
    write_rows(folder / "metrics.csv", STAGES["quantize"].metrics, [_measured("quantize", run, **own)])
    return scores


def _encode(folder: Path, run: dict, point: dict) -> list[dict]:
    rows = ((purpose, "", "mixed", size, "", "") for purpose, size in PURPOSES.items())
    parts = [dict(zip(ANATOMY, row, strict=True)) for row in rows]
    write_rows(folder / "anatomy.csv", ANATOMY, parts)
    write_rows(
        folder / "ladder.csv", LADDER, [dict(zip(LADDER, (m, *sizes), strict=True)) for m, sizes in RUNGS.items()]
    )
    sizes = {"file_bytes": CODED_BYTES, "level_bytes": 3_500, "bound_bytes": 3_600, "dense_bytes": TRAIN_BYTES}
    own = sizes | {"compression": TRAIN_BYTES / CODED_BYTES, "bits_per_weight": 8 * 3_500 / 17_500}
    own |= {"params": 20_000, "nonzeros": 8_500, "validation_top1": top1(point, *KEPT)}
    write_rows(folder / "metrics.csv", STAGES["encode"].metrics, [_measured("encode", run, **own)])
    return [_score("encode", run, top1(point, *KEPT), KEPT)]


_WRITERS = {"train": _train, "prune": _prune, "export": _export, "quantize": _write_grid, "encode": _encode}
