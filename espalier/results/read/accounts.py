"""What each stage of a chain leaves: accuracy, size and speed of one network, from its original to its files."""

from collections.abc import Iterator, Mapping
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.export.forms import FP32, INT8, PROGRAM, QUANTIZED
from espalier.results.read.bit_cells import FULL, metrics, number, rows, scores
from espalier.results.read.planned_study import Study
from espalier.stages import STAGES

if TYPE_CHECKING:
    import pandas as pd

MEASURES = (
    "validation_top1",
    "test_top1",
    "params",
    "nonzeros",
    "bits",
    "file_bytes",
    "file_ratio",
    "weight_ratio",
    "activation_mib",
    "activation_ratio",
    "latency_1_ms",
    "latency_64_ms",
)
WORDS = {"train": "original", "extend": "extended", "prune": "pruned", "quantize": "quantized", "encode": "coded"}
_KEPT = {"bits": "weight_bits", "activation_mib": "activation_mib"}
"""Measure → column of a stage's metrics that holds for the stages after it too."""
_EAGER, _BEFORE = "eager", "eager, before pruning"
_FORMS = {FP32: FULL, INT8: 8, QUANTIZED: None, PROGRAM: None}
"""Exported form → bits of a weight; None: those of the chain."""
_NO_NETWORK = ("prepare", "evaluate")
_TRAINED = ("train", "extend")
"""Stages after which a network has no zeros to speak of."""
_FLOATS = (*_TRAINED, "prune")

Times = Mapping[str, Mapping[str, str]]


def accounts(frame: "pd.DataFrame", study: Study) -> "pd.DataFrame":
    """Sizes, speed and accuracy along every chain: `configuration`, `repeat`, `stage` (words) and `MEASURES`.

    The table has a row for each stage of a point's chain. Chains that are the beginning of a longer one are left out.
    `bits` are bits a weight, zeros included. Ratios divide the original network by this one: `file_ratio` bytes of
    files, `weight_ratio` bits of weights (bits a weight times parameters), `activation_ratio` sizes of activations.
    What was not measured is missing.
    """
    import pandas as pd

    scored = scores(study)
    scored = scored[scored["kept"] == 1].set_index(["run", "format"])["test_top1"].to_dict()
    floats = _float_activations(study)
    found = []
    for point in whole(frame, study):
        runs = point["runs"]
        for row in _chain(study, runs, floats):
            row["test_top1"] = scored.get((row.pop("run"), row.pop("format")), nan)
            found.append({"configuration": point["configuration"], "repeat": point["repeat"]} | row)
    return pd.DataFrame(found, columns=["configuration", "repeat", "stage", *MEASURES])


def whole(frame: "pd.DataFrame", study: Study) -> list[dict[str, Any]]:
    """The points of the frame, less those whose runs another has too and goes on from."""
    stages = [name.removeprefix("run.") for name in frame.columns if name.startswith("run.")]
    points = [
        {
            "configuration": row["configuration"],
            "repeat": row["repeat"],
            "runs": {name: row[f"run.{name}"] for name in stages if isinstance(row[f"run.{name}"], str)},
        }
        for row in frame.to_dict("records")
    ]
    made = [{run for stage, run in point["runs"].items() if stage not in _NO_NETWORK} for point in points]
    sharing: dict[str, list[int]] = {}
    for index, own in enumerate(made):
        for run in own:
            sharing.setdefault(run, []).append(index)
    begun = {
        index
        for index, own in enumerate(made)
        if any(own < made[other] for other in sharing.get(min(own, default=""), ()))
    }
    return [point for index, point in enumerate(points) if index not in begun]


def _chain(study: Study, runs: Mapping[str, str], floats: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    times = _times(study, runs)
    original = _original_bytes(study, runs)
    kept: dict[str, Any] = {"bits": FULL}
    whole_params = left = number(metrics(study, runs["train"]), "params")
    read = _activations(study, runs, runs["train"], floats)
    for stage in (each.name for each in STAGES.values() if each.changes and each.name in runs):
        run = runs[stage]
        row = metrics(study, run)
        words = WORDS.get(stage, stage)
        if stage in _FLOATS:
            kept["activation_mib"] = _activations(study, runs, run, floats)
            left = number(row, "params")
        kept |= {name: number(row, column) for name, column in _KEPT.items() if column in STAGES[stage].columns}
        if stage == "quantize":
            words = f"{words} (W{row['weight_bits']} A{row['activation_bits']})" if row else words
        size = original if stage == "train" else number(row, "file_bytes")
        params = number(row, "params")
        found = {"stage": words, "run": run, "format": _EAGER, **kept}
        if stage == "encode":
            found["bits"] = number(row, "bits_per_weight")
        found |= {"validation_top1": number(row, "validation_top1"), "params": params}
        found |= {"nonzeros": params if stage in _TRAINED else number(row, "nonzeros")}
        found |= {"file_bytes": size, "file_ratio": original / size}
        found |= {"weight_ratio": FULL / found["bits"] * whole_params / left}
        found |= {"activation_ratio": read / found.get("activation_mib", nan)}
        yield found | {name: number(times.get(run, {}), name) for name in ("latency_1_ms", "latency_64_ms")}
    for form, row in _exported(study, runs):
        size = number(row, "file_bytes")
        bits = _FORMS[form] or kept["bits"]
        found = {"stage": f"exported, {form}", "run": runs["export"], "format": form, "bits": bits}
        found |= {"validation_top1": number(row, "validation_top1"), "file_bytes": size, "file_ratio": original / size}
        found |= {"weight_ratio": FULL / bits * whole_params / left}
        yield found | {name: number(row, name) for name in ("latency_1_ms", "latency_64_ms")}


def _activations(study: Study, runs: Mapping[str, str], run: str, floats: Mapping[str, float]) -> float:
    """The activations of a network of floats, or of one made from it whose channels are the same."""
    known = {id_: floats[id_] for id_ in (runs.get(stage) for stage in _FLOATS) if id_ in floats}
    if run in known:
        return known[run]
    params = number(metrics(study, run), "params")
    return next((mib for id_, mib in known.items() if number(metrics(study, id_), "params") == params), nan)


def _exported(study: Study, runs: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    if "export" not in runs:
        return
    found = {row["format"]: row for row in rows(study, runs["export"], "formats.csv") if "format" in row}
    settings = study["runs"][runs["export"]]["settings"]
    quantized = "quantize" in runs
    asked = {
        FP32: True,
        INT8: not quantized and settings.get("export.int8", True),
        QUANTIZED: quantized,
        PROGRAM: settings.get("export.program", False),
    }
    for form in _FORMS:
        # A chain that keeps 32 bits has no levels to write.
        if asked[form] and (form in found or not found):
            yield form, found.get(form, {})


def _times(study: Study, runs: Mapping[str, str]) -> Times:
    """Run → a row with its latencies: those measured in turn with the exported files, else those of pruning."""
    found = {runs["prune"]: metrics(study, runs["prune"])} if "prune" in runs else {}
    if "export" in runs:
        forms = {row.get("format"): row for row in rows(study, runs["export"], "formats.csv")}
        own = study["runs"][runs["quantize" if "quantize" in runs else "export"]]["parent"]
        if _EAGER in forms:
            found[own] = forms[_EAGER]
        if _BEFORE in forms:
            found[study["runs"][own]["parent"]] = forms[_BEFORE]
    return found


def _original_bytes(study: Study, runs: Mapping[str, str]) -> float:
    """Size of the file that the chain began with; as the coded network's run counted it, where it is gone."""
    if metrics(study, runs["train"]):
        try:
            return float(Path(study["runs"][runs["train"]]["path"], "model.safetensors").stat().st_size)
        except OSError:
            pass
    return number(metrics(study, runs.get("encode")), "dense_bytes")


def _float_activations(study: Study) -> dict[str, float]:
    """Run → MiB that its layers read of one image in floats, as quantizing it has counted them."""
    found: dict[str, float] = {}
    for id_, run in study["runs"].items():
        if run["stage"] != "quantize":
            continue
        own = [row for row in rows(study, id_, "grid.csv") if number(row, "activation_bits") == FULL]
        row, settings = metrics(study, id_), run["settings"]
        if own:
            found[run["parent"]] = number(own[0], "activation_mib")
        elif row and not any(settings.get(f"quantize.scheme.{part}_bits") for part in ("first", "classifier")):
            # All inputs have this width, so those in floats are larger by as much.
            found[run["parent"]] = number(row, "activation_mib") * FULL / number(row, "activation_bits")
    return found
