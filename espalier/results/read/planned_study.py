"""A planned study as results see it: plan.json, the names of its axes, and which points compare along one axis."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.errors import Mistake

if TYPE_CHECKING:
    import pandas as pd

Study = Mapping[str, Any]


def read(plan: Path) -> dict[str, Any]:
    """The content of a plan.json.

    Raises:
        Mistake: there is no such file, or it is no plan.
    """
    try:
        study = json.loads(Path(plan).read_text())
        missing = {"study", "axes", "points", "runs"} - set(study)
    except (OSError, ValueError, TypeError) as error:
        raise Mistake(f"{plan}: cannot be read as a plan ({error}); a call of snakemake writes it anew") from error
    if missing:
        raise Mistake(f"{plan}: lacks {', '.join(sorted(missing))}; delete it and a call of snakemake writes it anew")
    return study


def stages(study: Study) -> tuple[str, ...]:
    """The stages of the study's chains, in order."""
    return tuple(dict.fromkeys(stage for point in study["points"] for stage in point["runs"]))


def headline(study: Study) -> str:
    """The column that answers the study: test top-1, or validation top-1 where no chain is evaluated."""
    return "test_top1" if "evaluate" in stages(study) else "validation_top1"


def headline_words(study: Study, unit: str = " (%)") -> str:
    """The heading of that column, with its unit."""
    return ("Test top-1" if headline(study) == "test_top1" else "Validation top-1") + unit


def axis_names(study: Study) -> dict[str, str]:
    """Axis → its short name for headings: the last part of its key path, the whole path where two would be alike."""
    short = {axis: axis.rpartition(".")[2].replace("_", " ") for axis in study["axes"]}
    alike = list(short.values())
    return {axis: name if alike.count(name) == 1 else axis for axis, name in short.items()}


def ending_in(frame: "pd.DataFrame", stage: str) -> "pd.DataFrame":
    """The rows whose network no stage after `stage` has changed; later ones would speak for it."""
    # Here, since a status must not wait for pydantic.
    from espalier.stages import STAGES

    later = list(STAGES.values())[list(STAGES).index(stage) + 1 :]
    columns = [f"run.{each.name}" for each in later if each.changes and f"run.{each.name}" in frame]
    return frame[frame[columns].isna().all(axis=1)]


def configurations(study: Study) -> dict[tuple[str, ...], int]:
    """Labels along all axes → number of the configuration, in the order of the plan."""
    order = dict.fromkeys(labels(study, point) for point in study["points"])
    return {found: number for number, found in enumerate(order)}


def labels(study: Study, point: Mapping[str, Any]) -> tuple[str, ...]:
    """A point's label on every axis, in the order of the axes."""
    return tuple(point["labels"].get(axis, "–") for axis in study["axes"])


def along(study: Study, axis: str) -> tuple[set[int], bool]:
    """Configurations that compare the values of `axis`, and whether they differ from the baseline in nothing else.

    Where the baseline meets fewer than two values of the axis there is no such comparison, and all
    configurations are returned: a marginal over whatever else varies.
    """
    numbers = configurations(study)
    baseline = study.get("baseline")
    if baseline and axis in study["axes"]:
        place = study["axes"].index(axis)
        others = [(index, baseline.get(name)) for index, name in enumerate(study["axes"]) if index != place]
        chosen = {found: n for found, n in numbers.items() if all(found[index] == label for index, label in others)}
        if len({found[place] for found in chosen}) > 1:
            return set(chosen.values()), True
    return set(numbers.values()), False


def baseline_number(study: Study) -> int | None:
    """The number of the baseline's configuration; None where it is not among the points."""
    baseline = study.get("baseline") or {}
    return configurations(study).get(tuple(baseline.get(axis) for axis in study["axes"]))


def short_names(study: Study) -> dict[int, str]:
    """Configuration → what tells it from the baseline; all its labels where there is no baseline."""
    alike = "baseline" if study.get("baseline") else study["study"]
    return {number: ", ".join(found) or alike for number, found in changes(study).items()}


def changes(study: Study) -> dict[int, tuple[str, ...]]:
    """Configuration → those of its labels that differ from the baseline's.

    All labels are listed where the baseline is no point of the study, as in a study that is drawn from a space. A label
    that says nothing alone comes with the name of its axis.
    """
    baseline = study.get("baseline") or {} if baseline_number(study) is not None else {}
    varying, names = _varying(study), axis_names(study)
    columns = [set(column) for column in zip(*configurations(study), strict=True)]
    # A label that stands on two axes says nothing without its axis either.
    alike = {label for label in set().union(*columns) if sum(label in column for column in columns) > 1}
    found = {}
    for here, number in configurations(study).items():
        pairs = [(axis, label) for axis, label in zip(study["axes"], here, strict=True) if axis in varying]
        changed = [
            _telling(names[axis], label, label in alike)
            for axis, label in pairs
            if not _same(label, baseline.get(axis))
        ]
        found[number] = tuple(changed)
    return found


def _same(label: str, baseline: str | None) -> bool:
    """Whether a label is the baseline's; "none" and "–" (no stage of the chain reads the setting) count as equal."""
    return label == baseline or {label, baseline} == {"none", "–"}


def _telling(axis: str, label: str, alike: bool) -> str:
    """A label that says nothing without its axis (none, yes, 0.1, 16-32-64) with it."""
    bare = alike or label in ("none", "yes", "no", "default", "–") or not any(letter.isalpha() for letter in label)
    return f"{axis} {label}" if bare or re.fullmatch(r"[\d.]+e[-+]?\d+", label) else label


def _varying(study: Study) -> set[str]:
    columns: Iterable[tuple[str, ...]] = zip(*configurations(study), strict=True)
    return {axis for axis, column in zip(study["axes"], columns, strict=False) if len(set(column)) > 1}


def unit(study: Study) -> str:
    """What repeats differ in, in words."""
    return "folds, each with a seed of its own" if study.get("folds") else "seeds"
