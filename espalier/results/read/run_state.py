"""What state a run is in, told from its files alone.

A run with a record is what the record says: done, diverged or not run; or damaged, where the record or the metrics
are no longer what was written. One without is running, paused, failed, lost or waiting.
"""

import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espalier.errors import ArtifactError
from espalier.runs import record as records
from espalier.runs.record import OUTCOMES, Record

STOPPED = "stopped"
"""A training that a rung has ended, and what would follow it; the plan says so."""
STATES = (*OUTCOMES, STOPPED, "running", "paused", "failed", "lost", "damaged", "waiting")
ENDED = (*OUTCOMES, STOPPED)
"""States in which nothing is still to be made."""
TROUBLED = ("diverged", "failed", "lost", "damaged")
"""States that somebody must look at."""
SILENT_S = 120.0
"""A run that says it is running, and has been silent for longer (24 beats), is lost."""
_TAIL_BYTES = 4096
_CLOCK_S = 2.0
"""Slack between a log's time stamp and the heartbeat written after it."""


@dataclass(frozen=True, slots=True)
class State:
    """One run's state, and what it last said of itself."""

    name: str
    log: str
    """path of the run's log, relative to the repository"""
    said: Mapping[str, Any] = field(default_factory=dict)
    """the heartbeat: epoch, epochs, top1, seconds_left"""
    record: Record | None = None
    """of a run that has ended for good"""
    why: str = ""
    """of one that diverged, was not run or is damaged"""
    heard: float = 0.0
    """when a run that has begun and not ended was last heard of, in seconds since the epoch; 0 for all others"""

    @property
    def paused_at(self) -> str:
        """``paused at 3 of 27`` epochs, of a run that has paused."""
        return f"paused at {self.said.get('epoch')} of {self.said.get('epochs')}"


def state_of(run: Mapping[str, Any], root: Path = Path()) -> State:
    """The state of one run of a plan, whose paths are relative to `root`."""
    path = Path(root, run["path"])
    if run["stage"] == "prepare":
        log = str(Path(run["path"]).with_suffix(".log"))
        return State("done", log) if path.exists() else _unfinished(log, {}, root)
    log = f"{run['path']}/run.log"
    try:
        record = records.read(path)
        if record is None:
            return _unfinished(log, _heartbeat(path / "heartbeat.json"), root)
        record.metrics  # noqa: B018 (its bytes are verified)
    except ArtifactError as error:
        return State("damaged", log, why=str(error))
    return State(record.outcome, log, record=record, why=record.reason)


def chain_state(states: Mapping[str, str] | list[str]) -> str:
    """The state of a chain of runs: that of the run which holds it up."""
    found = set(states)
    order = ("damaged", "diverged", "not run", "failed", "lost", "running", "paused", "waiting")
    return next((name for name in order if name in found), "done")


def last_words(log: Path) -> str:
    """The last line of a log that is not empty: of a traceback, the error itself."""
    return next((line.strip() for line in reversed(_tail(log).splitlines()) if line.strip()), "")


def _unfinished(log: str, said: Mapping[str, Any], root: Path) -> State:
    modified, then = _modified(root / log), _time(said)
    name = _told_by(said, root / log, modified)
    return State(name, log, said, heard=0.0 if name == "waiting" else max(then, modified))


def _heartbeat(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _time(said: Mapping[str, Any]) -> float:
    then = said.get("time")
    return float(then) if isinstance(then, int | float) else 0.0


def _told_by(said: Mapping[str, Any], log: Path, modified: float) -> str:
    state, then = said.get("state"), _time(said)
    if state == "running":
        alive = time.time() - then <= SILENT_S and not _dead_here(said)
        return "running" if alive else "lost"
    # A later attempt writes its log before its first heartbeat.
    if modified > then + _CLOCK_S:
        return _told_by_log(log, modified)
    return state if state in ("failed", "paused") else "waiting"


def _dead_here(said: Mapping[str, Any]) -> bool:
    pid = said.get("pid")
    if said.get("host") != platform.node() or not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _told_by_log(log: Path, modified: float) -> str:
    text = _tail(log)
    if "Traceback (most recent call last)" in text or " ERROR " in text or "error: " in text.lower():
        return "failed"
    return "running" if time.time() - modified <= SILENT_S else "lost"


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
