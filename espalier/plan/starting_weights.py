"""Weights that a study names by a run, or by the best of a study: found as a file when the plan is made.

The id of the run that starts from them is made from the path of that file, which holds the id of the run that made it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.counted import counted
from espalier.errors import Mistake
from espalier.plan.best_chain import best, unended
from espalier.runs import record as records
from espalier.runs.folders import find
from espalier.stages import STAGES

if TYPE_CHECKING:
    from espalier.plan.build import PlannedStudy

_KEY = "checkpoint"
_WEIGHTS = ".safetensors"


class StartingWeights:
    """Runs and studies that a study starts from, each looked for once.

    Args:
        planned: plans another study as its file stands, or raises a Mistake
    """

    def __init__(self, planned: "Callable[[str], PlannedStudy]"):
        self._planned = planned
        self._known: dict[tuple[str, str], str | Mistake] = {}

    def resolved(self, settings: Mapping, prefix: str = "") -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """Settings as they are written, with a file for every run and study, and each (key path, message) of those
        that have none. What is not well-formed stays for the check of settings."""
        found: dict[str, Any] = {}
        wrong: list[tuple[str, str]] = []
        for key, value in settings.items():
            if not isinstance(value, Mapping):
                found[key] = value
            elif key == _KEY and (source := _source(value)):
                try:
                    rest = {name: inner for name, inner in value.items() if name not in ("run", "study", "best")}
                    found[key] = {**rest, "file": self._file(*source)}
                except Mistake as error:
                    wrong.append((f"{prefix}{key}.{source[0]}", str(error)))
            else:
                found[key], more = self.resolved(value, f"{prefix}{key}.")
                wrong += more
        return found, wrong

    def _file(self, kind: str, name: str) -> str:
        if (kind, name) not in self._known:
            try:
                self._known[kind, name] = (
                    _weights_of_run(name) if kind == "run" else _weights_of_best(name, self._planned(name))
                )
            except Mistake as error:
                self._known[kind, name] = error
        known = self._known[kind, name]
        if isinstance(known, Mistake):
            raise known
        return known


def _source(value: Mapping) -> tuple[str, str] | None:
    """The run or study that is asked for, alone and rightly."""
    given = {key: value[key] for key in ("file", "name", "run", "study", "best") if value.get(key) is not None}
    if given.keys() == {"run"} and isinstance(given["run"], str | int):
        # An id may be digits alone, which YAML reads as a number, without zeros in front.
        name = str(given["run"])
        return "run", name.zfill(records.DIGITS) if name.isdigit() else name
    if given.keys() == {"study", "best"} and given["best"] is True and isinstance(given["study"], str | int):
        return "study", str(given["study"])
    return None


def _weights_of_run(name: str) -> str:
    """The weights of a run.

    Raises:
        Mistake: there is no such run, it is not done, or makes no file of weights.
    """
    folder = find(name)
    record = records.complete(folder)
    if record.outcome != records.DONE:
        raise Mistake(f"{folder}: the run has no network ({record.outcome}: {record.reason})")
    network = STAGES[record.content["stage"]].network or ""
    if not network.endswith(_WEIGHTS):
        why = (
            "its network is coded; `espalier decode` writes its weights, or name" if network else "it makes none; name"
        )
        raise Mistake(f"{folder}: has no file of weights: {why} the run before it, {record.content['parent']}")
    return f"{folder}/{network}"


def _weights_of_best(name: str, study: "PlannedStudy") -> str:
    """The weights of the last run in a study's best chain that has a file of them.

    Raises:
        Mistake: points of the study are still to come, a run of it has not ended, or no chain is done.
    """
    mend = f"finish it first (snakemake -c all --config studies={name}), or name a run: {{run: ID}}"
    if study.pending and study.pending.adds_points:
        raise Mistake(f"the study {name!r} has points still to come, so that its best is not known; {mend}")
    if left := unended(study):
        runs = sum(run.parent is not None for run in study.runs.values())
        known = counted(runs, f"run of the study {name!r} has", f"runs of the study {name!r} have")
        raise Mistake(f"{left} of {known} not ended, so that its best is not known; {mend}")
    point = best(study)
    if point is None:
        raise Mistake(f"no chain of the study {name!r} is done; `espalier status {name}` tells how its runs ended")
    runs = [run for run in point.runs.values() if STAGES[run.stage].changes]
    run = next(run for run in reversed(runs) if STAGES[run.stage].network.endswith(_WEIGHTS))
    return str(Path(run.path) / STAGES[run.stage].network)
