"""Hours of a study's runs, on GPUs where they use one: spent so far, and to go if the rest takes as long.

Hours are those of runs, times the processes that train together; runs that share a GPU count one each. Of a run that
has not ended only the present attempt is counted.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from espalier.results.read.planned_study import Study
from espalier.results.read.run_state import ENDED, State
from espalier.runs.record import Record

READERS = 16
"""Files read at once: on a shared file system each takes its time."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the files of one run say beside its state."""

    seconds: float = 0.0
    """that it took, or has taken in this attempt"""
    gpu: bool | None = None
    """whether it ran on a GPU; None while it has not said so"""
    top1: float | None = None
    """validation top-1 in percent, of its best epoch once done"""


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours of a study's runs."""

    spent: float
    to_go: float
    left: float | None
    """hours until the end with as many runs at once as now; None where none runs"""
    gpu: bool
    unknown: int
    """runs to go of stages of which none has ended, which `to_go` leaves out"""


def facts(study: Study, states: Mapping[str, State], root: Path = Path()) -> dict[str, Facts]:
    """Run id → what its files say; nothing of a run that waits."""

    def one(id_: str) -> Facts:
        run, state = study["runs"][id_], states[id_]
        if run["stage"] == "prepare" or state.name in ("waiting", "damaged"):
            return Facts()
        return _ended(state.record) if state.record else _begun(state, root / state.log)

    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(states, pool.map(one, states), strict=True))


def hours(study: Study, states: Mapping[str, State], known: Mapping[str, Facts]) -> Hours:
    """Spent and to go: a run will take as long as those with its settings and other seeds, or else as its stage.

    Where some stages use a GPU, those that do not are left out.
    """
    gpu = any(fact.gpu for fact in known.values())
    without = {run["stage"] for id_, run in study["runs"].items() if known[id_].gpu is False} if gpu else set()
    without -= {run["stage"] for id_, run in study["runs"].items() if known[id_].gpu}
    runs = {id_: run for id_, run in study["runs"].items() if run["stage"] not in ("prepare", *without)}
    took: dict[Any, list[float]] = {}
    for id_, run in runs.items():
        seconds = _whole(states[id_], known[id_])
        if seconds:
            took.setdefault(run["stage"], []).append(seconds)
            took.setdefault(_alike(run), []).append(seconds)
    expected = {key: fmean(values) for key, values in took.items()}
    spent = to_go = 0.0
    unknown, longest = 0, 0.0
    for id_, run in runs.items():
        state, fact, weight = states[id_], known[id_], _processes(run)
        spent += weight * fact.seconds
        if state.name in ENDED:
            continue
        whole = expected.get(_alike(run), expected.get(run["stage"]))
        rest = _left(state, fact, whole)
        if rest is None:
            unknown += 1
            continue
        to_go += weight * rest
        longest = max(longest, rest)
    at_once = sum(_processes(run) for id_, run in runs.items() if states[id_].name == "running")
    left = max(to_go / at_once, longest) / 3600 if at_once else None
    return Hours(spent / 3600, to_go / 3600, left, gpu, unknown)


def _ended(record: Record) -> Facts:
    top1 = record.metrics.get("validation_top1")
    where = record.content["device"]
    return Facts(record.content["wall_s"], where != "cpu" if where else None, float(top1) if top1 else None)


def _begun(state: State, log: Path) -> Facts:
    top1 = state.said.get("top1")
    try:
        with log.open(encoding="utf-8", errors="replace") as file:
            since = datetime.strptime(file.readline()[:19], "%Y-%m-%d %H:%M:%S").timestamp()
    except (OSError, ValueError):
        since = state.heard
    return Facts(max(0.0, state.heard - since), None, top1 if isinstance(top1, int | float) else None)


def _whole(state: State, fact: Facts) -> float:
    """Seconds that a run takes from its beginning to its end; 0 where nothing tells."""
    left = state.said.get("seconds_left")
    if state.name == "running" and isinstance(left, int | float):
        return fact.seconds + left
    return fact.seconds if state.name == "done" else 0.0


def _left(state: State, fact: Facts, whole: float | None) -> float | None:
    left = state.said.get("seconds_left")
    if state.name == "running" and isinstance(left, int | float):
        return float(left)
    if whole is None:
        return None
    return max(0.0, whole - fact.seconds) if state.name in ("running", "paused") else whole


def _alike(run: Mapping[str, Any]) -> tuple:
    return run["stage"], *(word for word in run.get("words", ()) if not word.startswith("seed="))


def _processes(run: Mapping[str, Any]) -> int:
    """The number of processes of a run's training; settings of its teacher do not count."""
    asked = {key: value for key, value in run["settings"].items() if ".teacher." not in key}
    return max([1, *_numbers(value for key, value in asked.items() if key.endswith(".processes"))])


def _numbers(values: Iterable[Any]) -> list[int]:
    return [value for value in values if isinstance(value, int)]
