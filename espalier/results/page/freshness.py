"""Whether a study's page is current: `page.json` beside it holds digests of all that the page was made from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espalier.files import write_text
from espalier.plan.manifest import digest
from espalier.results.read.planned_study import Study
from espalier.results.study_outputs import files_read
from espalier.runs import record as records
from espalier.runs.record import Record

FILE = "page.json"
_OLD = '<p class="old" role="alert">'


def made_from(study: Study, known: Mapping[str, Record | None]) -> dict[str, Any]:
    """What a page of a study is made from: the plan, the records, and other files that its tables and figures read.

    Args:
        known: run id → record; None where there is none, or one that cannot be used
    """
    runs = (id_ for id_, run in study["runs"].items() if run["stage"] != "prepare")
    return {
        "plan": digest(study),
        "runs": {id_: record.sha256 if (record := known[id_]) else None for id_ in runs},
        "files": {name: records.sha256(name) if Path(name).exists() else None for name in files_read(study)},
    }


def current(folder: Path, made: Mapping[str, Any]) -> bool:
    """Whether the page in a folder was made from that."""
    try:
        return json.loads((Path(folder) / FILE).read_text()) == made
    except (OSError, ValueError):
        return False


def note(folder: Path, made: Mapping[str, Any]) -> None:
    """Write down what the page in a folder was made from, once it is whole."""
    write_text(Path(folder) / FILE, json.dumps(made, indent=1) + "\n")


def forget(folder: Path) -> None:
    """Take a page for old, whatever it was made from."""
    (Path(folder) / FILE).unlink(missing_ok=True)


def mark_old(folder: Path) -> None:
    """Say at the head of the pages in a folder that the study or its runs are not what they show any more."""
    for name in ("index.html", "explore.html"):
        try:
            text = (Path(folder) / name).read_text(encoding="utf-8")
        except OSError:
            continue
        if _OLD not in text:
            said = "This page is old: the study or its runs have changed since. It is made anew when the runs are."
            write_text(Path(folder) / name, text.replace("<main>", f"<main>\n{_OLD}{said}</p>", 1))
