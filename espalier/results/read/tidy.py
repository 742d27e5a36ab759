"""Runs on disk → one tidy frame, a row a point of the plan, and the history of every training run."""

import json
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from espalier.errors import ArtifactError
from espalier.files import write_text
from espalier.results.read import convergence, rungs
from espalier.results.read.epoch_scores import EpochScores
from espalier.results.read.planned_study import Study, configurations, labels, stages
from espalier.results.read.run_state import STATES, STOPPED, State, chain_state, state_of
from espalier.runs import record as records
from espalier.runs.columns import HISTORY
from espalier.runs.record import DONE
from espalier.runs.spoken_name import spoken_name
from espalier.stages import STAGES

COSTS = ("wall_s", "cpu_s", "images_per_s", "peak_memory_mib")
"""Metrics of a stage's work, which carry its name (`train_wall_s`); the others tell of the network, and the last
stage of a chain that measures one speaks for it."""


def states(study: Study, root: Path = Path()) -> dict[str, State]:
    """Run id → its state."""
    return rungs.mark_stopped(study, {id_: state_of(run, root) for id_, run in study["runs"].items()})


def refuse_damaged(known: Mapping[str, State]) -> None:
    """Make no table of numbers that are no longer those that were written.

    Raises:
        ArtifactError: a run's record or metrics are damaged.
    """
    damaged = [state.why for state in known.values() if state.name == "damaged"]
    if damaged:
        raise ArtifactError("\n".join(damaged))


def runs(study: Study, root: Path = Path(), known: Mapping[str, State] | None = None) -> pd.DataFrame:
    """All results of a study as one frame, a row a point.

    Columns:

    - `configuration` (number), `repeat`, `seed`, `state`; `round` in a search that has rounds;
    - `label.<axis>`; `run.<stage>` (ids), `spoken.<stage>` (spoken names), `folder.<stage>` (paths; of prepared data
      the file);
    - every setting that varies, under its key path; lists and mappings as JSON;
    - the metrics of the runs that are done, and `epochs_to_convergence` and `epoch_s` from their histories;
    - where trainings were stopped early: `stopped_at` (epochs), `stopped_score` (what was compared, a mean over seeds),
      `stopped_top1` (the training's validation top-1 there, in percent); and for all trainings `shared_epochs`, which
      all have reached, and `shared_top1`, the validation top-1 after them.

    What does not exist yet is missing.

    Raises:
        ArtifactError: a run's record or metrics are damaged.
    """
    known = known or states(study, root)
    refuse_damaged(known)
    metrics = {id_: _metrics(study["runs"][id_]["stage"], state) for id_, state in known.items()}
    numbers, stopped, shared = configurations(study), rungs.stops(study), rungs.reached_by_all(study)
    epoch_scores = _epoch_scores(study, root, known) if stopped else None
    flat = {id_: {key: _cell(value) for key, value in run["settings"].items()} for id_, run in study["runs"].items()}
    varying = _varying(study, flat)
    rows = []
    for point in study["points"]:
        here = labels(study, point)
        settings = _joined(flat[id_] for id_ in point["runs"].values())
        row = {"configuration": numbers[here], "repeat": point["repeat"], "seed": settings.get("seed")}
        row |= {"round": point["round"]} if "round" in point else {}
        stop = rungs.of_point(point, stopped)
        row["state"] = STOPPED if stop else chain_state([known[id_].name for id_ in point["runs"].values()])
        row |= {f"label.{axis}": label for axis, label in zip(study["axes"], here, strict=True)}
        row |= {f"run.{stage}": id_ for stage, id_ in point["runs"].items()}
        row |= {f"spoken.{stage}": spoken_name(id_) for stage, id_ in point["runs"].items() if stage != "prepare"}
        row |= {f"folder.{stage}": study["runs"][id_]["path"] for stage, id_ in point["runs"].items()}
        row |= {key: settings.get(key) for key in varying}
        # A training stopped at a rung has no result here, even if another study has trained it to its end.
        row |= {} if stop else _joined(metrics.get(id_, {}) for id_ in point["runs"].values())
        if shared:
            row |= {"shared_epochs": shared, "shared_top1": epoch_scores.top1(point["runs"]["train"], shared)}
        row |= {"stopped_at": stop.epochs, "stopped_score": stop.score} if stop else {}
        if stop and stop.score is not None:
            row |= {"stopped_top1": epoch_scores.top1(point["runs"]["train"], stop.epochs)}
        rows.append(row)
    # The train columns are always there, so that tables and figures of a plan without results find them empty.
    measured = [
        _column(stage, name)
        for stage in ("train", *stages(study))
        for name in STAGES[stage].metrics
        if STAGES[stage].columns
    ]
    measured = [name for name in dict.fromkeys(measured) if name]
    fixed = ["configuration", "repeat", "seed", *(["round"] if study.get("rounds") else []), "state"]
    fixed += [f"label.{axis}" for axis in study["axes"]]
    fixed += [
        f"{part}.{stage}"
        for part in ("run", "spoken", "folder")
        for stage in stages(study)
        if (part, stage) != ("spoken", "prepare")
    ]
    ended = ["stopped_at", "stopped_score", "stopped_top1"] if stopped else []
    ended += ["shared_epochs", "shared_top1"] if shared else []
    frame = pd.DataFrame(rows, columns=list(dict.fromkeys([*fixed, *varying, *ended, *measured])))
    frame[measured] = frame[measured].apply(pd.to_numeric, errors="coerce")
    frame[[convergence.COLUMN, convergence.SECONDS]] = _courses(study, root, known, frame)
    frame["state"] = pd.Categorical(frame["state"], STATES)
    return frame


def history(study: Study, root: Path = Path()) -> pd.DataFrame:
    """A row an epoch of every training run that has begun: `run` and the columns of history.csv.

    Raises:
        ArtifactError: the history of a run that has ended is damaged.
    """
    ids: list[str] = []
    lines: list[str] = []
    for id_, run in study["runs"].items():
        epochs = _epochs(Path(root, run["path"])) if run["stage"] != "prepare" else []
        ids += [id_] * len(epochs)
        lines += epochs
    frame = pd.read_csv(StringIO("\n".join(lines)), names=HISTORY) if lines else pd.DataFrame(columns=HISTORY)
    frame = frame.apply(pd.to_numeric, errors="coerce").astype(float)
    frame.insert(0, "run", pd.Series(ids, dtype=object))
    return frame.dropna(subset="epoch").astype({"epoch": int}).reset_index(drop=True)


def _courses(study: Study, root: Path, known: Mapping[str, State], frame: pd.DataFrame) -> pd.DataFrame:
    """Of chains whose trainings are done; a rung has ended the others."""
    trained = frame[[f"run.{stage}" for stage in ("train", "extend") if f"run.{stage}" in frame]]
    done = trained.map(lambda run: not isinstance(run, str) or known[run].name == DONE).all(axis=1)
    ended = trained[done & (frame["state"] != STOPPED)]
    runs = {id_: study["runs"][id_] for column in ended for id_ in ended[column].dropna()}
    return convergence.courses(history({"runs": runs}, root), ended).reindex(frame.index)


def _epoch_scores(study: Study, root: Path, known: Mapping[str, State]) -> EpochScores:
    trainings = {id_: run for id_, run in study["runs"].items() if run["stage"] == "train"}
    ended = {id_ for id_ in trainings if known[id_].name == DONE}
    return EpochScores(study, history({"runs": trainings}, root), ended)


def write_runs(path: Path, frame: pd.DataFrame) -> None:
    """Write the frame as CSV, numbers unrounded."""
    write_text(path, frame.to_csv(index=False, lineterminator="\n"))


def _column(stage: str, name: str) -> str | None:
    if name in ("run", "parent"):
        return None
    return f"{stage}_{name}" if name in COSTS else name


def _metrics(stage: str, state: State) -> dict[str, str]:
    row = state.record.metrics if state.record else {}
    return {column: value for name, value in row.items() if (column := _column(stage, name))}


def _epochs(folder: Path) -> list[str]:
    """The rows of a history; a last line that is still being written is left out."""
    path, record = folder / "history.csv", records.read(folder)
    if record and path.name in record.written:
        record.path(path.name)
    try:
        header, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, ValueError):
        return []
    if header.strip() != ",".join(HISTORY):
        return []
    commas = len(HISTORY) - 1
    return [row.rstrip("\r\n") for row in rows if row.endswith("\n") and row.count(",") == commas and '"' not in row]


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def _joined(parts: Iterator[Mapping[str, Any]]) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part.items()}


def _varying(study: Study, flat: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Settings that are not the same in all runs of a stage, or that only some of them have; the seed apart."""
    by_stage: dict[str, list[Mapping[str, Any]]] = {}
    for id_, run in study["runs"].items():
        by_stage.setdefault(run["stage"], []).append(flat[id_])
    found: dict[str, None] = {}
    for settings in by_stage.values():
        values: dict[str, set] = {}
        for one in settings:
            for key, value in one.items():
                values.setdefault(key, set()).add(value)
        everywhere = set.intersection(*(set(one) for one in settings))
        found |= dict.fromkeys(key for key in values if len(values[key]) > 1 or key not in everywhere)
        # Optimistic accuracies are never without their mark, though all of them are.
        found |= dict.fromkeys(key for key in values if (key, values[key]) == ("protocol", {"published"}))
    return [key for key in found if key != "seed"]
