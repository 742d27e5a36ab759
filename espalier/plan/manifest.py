"""plan.json: a planned study as data, the readable index from ids to settings that results are made from."""

import hashlib
import json
from typing import Any

from espalier.plan.build import PlannedStudy
from espalier.plan.grid import label
from espalier.settings.keys import flat
from espalier.settings.registry import Choice


def manifest(planned: PlannedStudy) -> dict[str, Any]:
    """The study's points, runs, tables and figures; paths are relative to the repository."""
    runs = {run.id: run for point in planned.points for run in point.runs.values()}
    return {
        "study": planned.name,
        "title": planned.study.title,
        "description": planned.study.description,
        "source": planned.source,
        "scale": planned.study.scale,
        "axes": list(planned.axes),
        "repeats": planned.study.repeats,
        "baseline": planned.baseline,
        "tables": [_wanted(item) for item in planned.study.tables],
        "figures": [_wanted(item) for item in planned.study.figures],
        "points": [
            {
                "labels": dict(point.labels),
                "repeat": point.repeat,
                "runs": {stage: run.id for stage, run in point.runs.items()},
            }
            for point in planned.points
        ],
        "runs": {
            run.id: {
                "stage": run.stage,
                "path": run.path,
                "parent": run.parent.id if run.parent else None,
                "command": run.command,
                "words": run.words,
                "settings": dict(flat(run.spec.model_dump(mode="json"))),
            }
            for run in runs.values()
        },
    }


def _wanted(item: Choice) -> dict[str, Any]:
    values = [label(value) for value in item.model_dump(exclude_defaults=True, exclude={"plugin"}).values()]
    key = "-".join(values)
    key = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in key)
    return {"key": key, **item.model_dump(mode="json")}


def digest(content: dict[str, Any]) -> str:
    """A short fingerprint of a manifest, which changes when tables or figures may."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:10]
