"""What evaluations measure beside their scores, added to finished studies on disk, in numbers that are easily checked.

Of repeat r: class "a" has 90 + r of 100 images right and the rest taken for "b", class "b" all of 100. Confidence is
95 % where top-1 is 90 + r %, in one bin of two.
"""

from pathlib import Path

from espalier.export.forms import INT8
from espalier.metrics import measures
from espalier.networks.scored_networks import EAGER
from espalier.runs.columns import CORRUPTED, MEASURED, write_rows
from espalier.settings.registry import entries
from support.sealed import reseal

CLASSES = ("a", "b")
NUMBERS = {"nll": 0.25, "brier": 0.125, "ece": 5.0}
STRENGTHS = (1, 5)
NAMES = ("jpeg", "contrast")


def measure(root: Path, study: dict) -> None:
    """Add test_metrics.csv, the tables of metrics and corruptions.csv to every evaluation of a study.

    The network of a chain's i-th stage loses 10 + i points at strength 1, and twice as much at strength 5; an exported
    file counts as a stage after those.
    """
    for point in study["points"]:
        id_ = point["runs"]["evaluate"]
        folder = root / study["runs"][id_]["path"]
        _tables(folder, 90 + point["repeat"])
        line = [stage for stage in ("train", "prune", "quantize", "encode") if stage in point["runs"]]
        if "export" in point["runs"]:
            line.append("export")
        rows = []
        for place, stage in enumerate(line):
            form = INT8 if stage == "export" else EAGER
            for name in NAMES:
                for strength in STRENGTHS:
                    lost = (10 + place) * (1 if strength == 1 else 2)
                    values = (stage, point["runs"][stage], 32, 32, form, 200, name, strength, 95.0, 95.0 - lost)
                    rows.append(dict(zip(CORRUPTED, values, strict=True)))
        write_rows(folder / "corruptions.csv", CORRUPTED, rows)
        settings = {"evaluate.corruptions.names": list(NAMES), "evaluate.corruptions.strengths": list(STRENGTHS)}
        study["runs"][id_]["settings"] |= settings
        reseal(folder)


def _tables(folder: Path, right: int) -> None:
    numbers = [{"metric": name, "value": value} for name, value in NUMBERS.items()]
    write_rows(folder / "test_metrics.csv", MEASURED, numbers)
    counts = {("a", "a"): right, ("a", "b"): 100 - right, ("b", "b"): 100}
    rows = [{"label": one, "predicted": other, "images": count} for (one, other), count in counts.items()]
    write_table(folder, "confusion", rows)
    shares = {"a": (100.0, float(right), 95.0), "b": (90.0, 100.0, 94.0)}
    rows = [
        {"class": name, "precision": precision, "recall": recall, "f1": f1, "images": 100}
        for name, (precision, recall, f1) in shares.items()
    ]
    write_table(folder, "per_class", rows)
    empty = {"low": 0.0, "high": 50.0, "images": 0, "confidence": "", "top1": ""}
    write_table(folder, "calibration", [empty, {"low": 50.0, "high": 100.0, "images": 200} | _sure(right)])


def _sure(right: int) -> dict[str, float]:
    return {"confidence": 95.0, "top1": float(right)}


def write_table(folder: Path, metric: str, rows: list[dict]) -> None:
    """Write a metric's table as its evaluation does."""
    assert hasattr(measures, metric)
    write_rows(folder / f"{metric}.csv", entries("metric")[metric].facts["columns"], rows)
