"""One run in words: what it is, how it ended, its files, and the end of its log."""

import json
from pathlib import Path

from espalier.errors import Mistake
from espalier.results.read.run_state import state_of
from espalier.runs import record as records
from espalier.runs.owner import owner, words
from espalier.runs.record import Record
from espalier.runs.spoken_name import spoken_name
from espalier.settings.keys import flat

_LINES = 10
"""Last lines of the log that are shown."""
_FACTS = (
    "outcome",
    "reason",
    "parent",
    "teacher",
    "continued",
    "command",
    "host",
    "device",
    "threads",
    "started",
    "wall_s",
    "cpu_s",
)


def text(folder: Path) -> str:
    """Everything about a run's folder that a user asks first."""
    lines = [f"{folder}", f"  called: {spoken_name(records.identifier(folder))}"]
    try:
        record = records.read(folder)
        lines += _recorded(record) if record else [f"  {_unfinished(folder)}"]
    except Mistake as error:
        lines += [f"  damaged: {error}"]
    log = folder / "run.log"
    if log.exists():
        end = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES:]
        lines += [f"  log ({log}):", *(f"    {line}" for line in end)]
    return "\n".join(lines)


def _unfinished(folder: Path) -> str:
    if (found := owner(folder)) is not None:
        return f"not complete: being made by {words(found)}"
    state = state_of({"stage": "", "path": str(folder)})
    return f"not complete: {state.paused_at if state.name == 'paused' else 'nobody makes it now'}"


def _recorded(record: Record) -> list[str]:
    said = record.content
    lines = [f"  {key}: {said[key]}" for key in _FACTS if said.get(key) is not None]
    lines += [f"  commit: {said['git']['commit']}{' with changes' if said['git']['dirty'] else ''}"]
    lines += [f"  data: {said['data']['path']} (SHA-256 {said['data']['checksum']})"]
    settings = flat(said["spec"])
    lines += [
        "  settings that differ from the defaults:",
        *(f"    {key}={json.dumps(value)}" for key, value in settings),
    ]
    return [*lines, "  files:", *(f"    {_file(record, name)}" for name in record.written)]


def _file(record: Record, name: str) -> str:
    try:
        return f"{name}  {record.path(name).stat().st_size:,} bytes"
    except Mistake as error:
        return f"{name}  WRONG: {error}"
