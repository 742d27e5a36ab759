"""plan.json: a planned study as data, the readable index from ids to settings that results are made from."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espalier.files import write_text
from espalier.plan import rungs
from espalier.plan.build import PlannedStudy
from espalier.plan.grid import label
from espalier.plan.open_questions import OpenQuestion
from espalier.plan.runs import Run
from espalier.plan.study_file import retyped
from espalier.runs import record as records
from espalier.settings.keys import flat
from espalier.settings.registry import Choice


def manifest(planned: PlannedStudy) -> dict[str, Any]:
    """The study's points, runs, tables and figures; paths are relative to the repository."""
    return {
        "study": planned.name,
        "title": planned.study.title,
        "description": planned.study.description,
        "source": planned.source,
        "scale": planned.study.scale,
        "overrides": retyped(planned.overrides),
        "axes": list(planned.axes),
        "repeats": planned.study.times,
        "folds": planned.study.folds,
        "baseline": planned.baseline,
        "tables": [_output(item) for item in planned.study.tables],
        "figures": [_output(item) for item in planned.study.figures],
        **({"halving": planned.study.halving.model_dump(mode="json")} if planned.study.halving else {}),
        **({"open": _open(planned.pending)} if planned.pending else {}),
        **({"rungs": decided} if (decided := _rungs(planned)) else {}),
        **({"selections": selections} if (selections := _selections(planned)) else {}),
        **({"rounds": _rounds_of_search(planned)} if planned.rounds else {}),
        "points": [
            {
                "labels": dict(point.labels),
                "repeat": point.repeat,
                **({"round": planned.rounds[tuple(point.labels.values())]} if planned.rounds else {}),
                "runs": {stage: run.id for stage, run in point.runs.items()},
            }
            for point in planned.points
        ],
        "runs": {
            run.id: {
                "stage": run.stage,
                "path": run.path,
                "parent": run.parent.id if run.parent else None,
                **({"teacher": run.teacher.id} if run.teacher else {}),
                "command": run.command,
                "words": run.words,
                "settings": dict(_settings(run)),
            }
            for run in planned.runs.values()
        },
    }


def _rungs(planned: PlannedStudy) -> list[dict[str, Any]]:
    """What was decided at every rung: its candidates, with their trainings by id, mean scores and whether they went
    on."""
    return [
        {
            "epochs": rung["epochs"],
            "of": rung["of"],
            "candidates": [
                {
                    "runs": [records.identifier(Path(name)) for name in each["runs"]],
                    "mean": each["mean"],
                    "kept": each["kept"],
                }
                for each in rung["candidates"]
            ],
        }
        for rung in rungs.decisions(planned.answers)
    ]


def _open(question: OpenQuestion) -> dict[str, Any]:
    """The question that the plan waits for, in words, and the files that it reads."""
    return {"asks": question.text(), "files": [str(path) for path in question.files()]}


def _selections(planned: PlannedStudy) -> list[dict[str, Any]]:
    """What the blocks of its grid started from: every candidate with its name, scores, their mean, and whether it was
    chosen."""
    return [
        {
            "of": answer["asked"]["of"],
            "by": answer["asked"]["by"],
            "candidates": [
                {"name": name, **{key: each[key] for key in ("scores", "mean", "kept")}}
                for name, each in zip(answer["asked"]["named"], answer["candidates"], strict=True)
            ],
        }
        for answer in planned.answers
        if "best" in answer["asked"]
    ]


def _rounds_of_search(planned: PlannedStudy) -> dict[str, Any]:
    """How later points are asked for, and by which metric."""
    sample = planned.study.sample
    asked = planned.answers[0]["asked"] if planned.answers else planned.pending.parameters
    return {"method": sample.method, "points": sample.points, "of": sample.rounds, "by": asked["by"]}


def _settings(run: Run) -> Iterator[tuple[str, Any]]:
    """Every (key path, value) of a run's settings.

    Null settings of its teacher are left out: they are listed with the teacher's own run.
    """
    for key, value in flat(run.spec.model_dump(mode="json")):
        if value is not None or ".teacher." not in key:
            yield key, value


def _output(item: Choice) -> dict[str, Any]:
    given = item.model_dump(exclude_defaults=True, exclude={"plugin", "columns"})
    values = [label(value) for value in given.values()]
    key = "-".join(values)
    key = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in key)
    return {"key": key, **item.model_dump(mode="json")}


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a manifest, unless the file holds it already."""
    text = json.dumps(content, indent=1)
    try:
        same = path.read_text() == text
    except (OSError, UnicodeDecodeError):
        same = False
    if not same:
        write_text(path, text)


def digest(content: dict[str, Any]) -> str:
    """A short fingerprint of a manifest, which changes when tables or figures may."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:10]
