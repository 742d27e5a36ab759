"""Where a study's finished runs come from: commits, versions, hosts, devices, dates."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from espalier.results.read.planned_study import Study
from espalier.results.read.run_state import State


def origins(study: Study, states: Mapping[str, State]) -> list[tuple[str, list[tuple[str, int]]]]:
    """What the run.json of finished runs say of their origin: heading → (text, number of runs)."""
    found: dict[str, Counter[str]] = {}
    for id_, state in states.items():
        if state.name == "done" and study["runs"][id_]["stage"] != "prepare":
            for heading, text in _origin(Path(study["runs"][id_]["path"], "run.json")):
                found.setdefault(heading, Counter())[text] += 1
    facts = [(heading, counter.most_common(12)) for heading, counter in found.items() if heading != "Started"]
    dates = found.get("Started")
    if dates:
        first, last = min(dates), max(dates)
        facts.append(("Started", [(first if first == last else f"{first} to {last}", dates.total())]))
    return facts


def _origin(path: Path) -> list[tuple[str, str]]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        git, versions, data = record.get("git") or {}, record.get("versions") or {}, record.get("data") or {}
        commit = f"{git.get('commit') or 'unknown'}{' with uncommitted changes' if git.get('dirty') else ''}"
        named = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        facts = {"Commit": commit, "Versions": named, "Host": record.get("host"), "Device": record.get("device")}
        facts |= {"Data checksum": data.get("checksum"), "Started": record.get("started")}
    except (OSError, ValueError, AttributeError):
        return []
    return [(heading, str(text)) for heading, text in facts.items() if text]
