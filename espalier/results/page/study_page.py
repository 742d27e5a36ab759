"""index.html of one study, from whatever exists: what was asked, what ran, leaderboard, figures, commands, origin."""

import json
import os
import shlex
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from espalier.files import write_text
from espalier.results.format import style, table_files
from espalier.results.format.notices import notices
from espalier.results.format.protocols import choosing
from espalier.results.format.templates import page
from espalier.results.page import answers, browser, contents, explore, search_rounds
from espalier.results.page.leaderboard import leaderboard, without_unfinished
from espalier.results.page.selections import selections
from espalier.results.read import convergence
from espalier.results.read.data_sets import prepared
from espalier.results.read.planned_study import Study, axis_names, configurations, headline
from espalier.results.read.run_state import ENDED, STATES, TROUBLED, State, last_words
from espalier.results.study_outputs import StudyOutput, outputs_of
from espalier.runs.spoken_name import spoken_name

if TYPE_CHECKING:
    import pandas as pd


_OPEN_ROWS = 8
"""Rows of the longest table that is not folded."""
_LOG_LETTERS = 4000
"""What the page shows of the end of a failed run's log."""


def write(path: Path, plan: Path, study: Study, frame: "pd.DataFrame", states: Mapping[str, State]) -> None:
    """Write the page and explore.html beside it; links are relative, so that both open from a disk."""
    folder = path.parent
    ready = without_unfinished(frame, states)
    counts = Counter(state.name for state in states.values())
    tables = [_table(item, study, frame, folder) for item in outputs_of(study, "table")]
    figures = [_figure(item, study, folder) for item in outputs_of(study, "figure")]
    data_sets, downloads = prepared(study), [(name, link) for name, link in _downloads(folder, plan) if link]
    board = leaderboard(ready, study)
    charts = explore.write(folder / explore.NAME, study, ready, bool(data_sets), downloads)
    text = page(
        "page.html",
        study=study,
        notices=notices(study),
        choosing=choosing(study),
        unfinished=", ".join(f"{counts[name]} {name}" for name in STATES if counts[name] and name not in ENDED),
        states=STATES,
        column=int(1.5 * style.COLUMN * style.DPI),
        counts=[(name, counts[name]) for name in STATES],
        total=len(states),
        answers=answers.answers(ready, study),
        findings=answers.findings(ready, study),
        margin=answers.MARGIN,
        optimism=answers.optimism(study),
        tested=headline(study) == "test_top1",
        axes=_axes(study),
        selected=[*search_rounds.lines(ready, study), *dict.fromkeys(one.text() for one in selections(study))],
        configurations=len(configurations(study)),
        common=_common(study),
        troubled=[_trouble(id_, study, states[id_], folder) for id_ in states if states[id_].name in TROUBLED],
        data_sets=data_sets,
        board=board,
        defined=convergence.DEFINITION if convergence.HEADING in [column.head for column in board.columns] else "",
        library=browser.tables(),
        charts=charts,
        tables=tables,
        figures=figures,
        open_rows=_OPEN_ROWS,
        contents=contents.of_index(
            [(each["key"], each["caption"].title) for each in figures],
            [(each["key"], each["title"]) for each in tables],
            bool(data_sets),
        ),
        commands=[
            (id_, "" if run["stage"] == "prepare" else spoken_name(id_), states[id_].name, shlex.join(run["command"]))
            for id_, run in study["runs"].items()
        ],
        provenance=origins(states),
        downloads=downloads,
    )
    write_text(path, text)


def _link(target: Path | str, folder: Path) -> str:
    return quote(os.path.relpath(target, folder))


def _beside(folder: Path, part: str, key: str, suffixes: tuple[str, ...]) -> dict[str, str]:
    """Suffix → link of the files that exist."""
    paths = {suffix: folder / part / f"{key}.{suffix}" for suffix in suffixes}
    return {suffix: _link(path, folder) for suffix, path in paths.items() if path.exists()}


def _table(item: StudyOutput, study: Study, frame: "pd.DataFrame", folder: Path) -> dict[str, Any]:
    made, _ = item.make_or_explain(frame, study)
    files = _beside(folder, "tables", item.key, table_files.FORMATS)
    rows, title = len(made.printed), made.caption.title
    return {"key": item.key, "title": title, "rows": rows, "html": table_files.html(made), "files": files}


def _figure(item: StudyOutput, study: Study, folder: Path) -> dict[str, Any]:
    files = _beside(folder, "figures", item.key, ("png", "pdf"))
    size = _size(folder / "figures" / f"{item.key}.png") if "png" in files else None
    return {"key": item.key, "caption": item.caption(study), "files": files, "size": size}


def _size(png: Path) -> tuple[int, int]:
    """Width and height of a PNG, from its header."""
    with png.open("rb") as file:
        return struct.unpack(">II", file.read(24)[16:])


def _downloads(folder: Path, plan: Path) -> list[tuple[str, str | None]]:
    """What is to be had beside the tables and figures."""
    runs = folder / "runs.csv"
    return [("runs.csv", _link(runs, folder) if runs.exists() else None), ("plan.json", _link(plan, folder))]


def _axes(study: Study) -> list[tuple[str, str, list[tuple[str, bool]]]]:
    """Short name, key path, and (label, is the baseline's) of every axis."""
    baseline = study.get("baseline") or {}
    columns = list(zip(*configurations(study), strict=True)) or [()] * len(study["axes"])
    return [
        (axis_names(study)[axis], axis, [(label, label == baseline.get(axis)) for label in dict.fromkeys(column)])
        for axis, column in zip(study["axes"], columns, strict=True)
    ]


def _common(study: Study) -> list[tuple[str, str]]:
    """Settings that every run of their stage shares."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for run in study["runs"].values():
        found.setdefault(run["stage"], []).append(run["settings"])
    return [
        (key, json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value)
        for group in found.values()
        for key, value in group[0].items()
        if all(key in settings and settings[key] == value for settings in group)
    ]


def _trouble(id_: str, study: Study, state: State, folder: Path) -> dict[str, str | None]:
    log = Path(state.log)
    name = Path(study["runs"][id_]["path"]).name
    exists = log.exists()
    words = state.why or (last_words(log) if exists else "no log was written")
    end = log.read_text(encoding="utf-8", errors="replace")[-_LOG_LETTERS:] if exists else ""
    link = _link(log, folder) if exists else None
    return {"id": id_, "state": state.name, "name": name, "log": link, "words": words, "end": end}


def origins(states: Mapping[str, State]) -> list[tuple[str, list[tuple[str, int]]]]:
    """What the records of the runs say of their origin: heading → (text, number of runs)."""
    found: dict[str, Counter[str]] = {}
    for state in states.values():
        for heading, text in _origin(state.record.content) if state.record else ():
            found.setdefault(heading, Counter())[text] += 1
    facts = [(heading, counter.most_common(12)) for heading, counter in found.items() if heading != "Started"]
    dates = found.get("Started")
    if dates:
        first, last = min(dates), max(dates)
        facts.append(("Started", [(first if first == last else f"{first} to {last}", dates.total())]))
    return facts


def _origin(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    git = record["git"]
    commit = f"{git['commit'] or 'unknown'}{' with uncommitted changes' if git['dirty'] else ''}"
    named = ", ".join(f"{name} {version}" for name, version in record["versions"].items() if version)
    facts = {"Commit": commit, "Versions": named, "Host": record["host"], "Device": record["device"]}
    facts |= {"Data checksum": record["data"]["checksum"], "Started": record["started"]}
    return [(heading, str(text)) for heading, text in facts.items() if text]
