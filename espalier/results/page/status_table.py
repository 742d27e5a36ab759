"""The state of a study in words: counts a stage, hours, then a line for each run at work, paused or in trouble."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from espalier.counted import counted
from espalier.plan.manifest import digest
from espalier.results.format.notices import protocol_notice
from espalier.results.format.protocols import MARK
from espalier.results.read import rungs
from espalier.results.read.hours import READERS, Facts, Hours, facts, hours
from espalier.results.read.planned_study import Study, read
from espalier.results.read.run_state import STATES, TROUBLED, State, last_words, state_of

_ALWAYS = ("done", "running", "failed", "lost", "waiting")
"""States with a column of their own also where no run has them."""
_BEST = "best top-1"
_WORDS = 100
"""Letters of what a run in trouble says."""


def text(study: Study, root: Path = Path()) -> str:
    """Counts of every state with the best validation top-1 so far, hours, and the runs that want attention with the
    paths of their logs."""
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(lambda run: state_of(run, root), study["runs"].values())
        states = rungs.mark_stopped(study, dict(zip(study["runs"], found, strict=True)))
    known, said = facts(study, states, root), protocol_notice(study).partition(". ")[0]
    found = Counter(state.name for state in states.values())
    shown = [name for name in STATES if name in _ALWAYS or found[name]]
    lines = [f"{study['study']:<12}" + "".join(f"{name:>9}" for name in shown) + f"{_BEST + MARK * bool(said):>14}"]
    for stage in dict.fromkeys(run["stage"] for run in study["runs"].values()):
        ids = [id_ for id_, run in study["runs"].items() if run["stage"] == stage]
        lines.append(f"  {stage:<10}" + _counts(states, ids, shown) + _best(known, ids))
    lines += [
        f"  {'all':<10}" + _counts(states, states, shown),
        _spent(hours(study, states, known)),
        *_open(study, root),
        *([f"  {said}."] if said else []),
    ]
    lines += _paused(states)
    for wanted in ("running", *TROUBLED):
        chosen = {id_: state for id_, state in states.items() if state.name == wanted}
        lines += [_line(study, id_, state, root) for id_, state in chosen.items()]
    return "\n".join(lines)


def _paused(states: Mapping[str, State]) -> list[str]:
    """Lines that count the trainings paused at a rung, which wait for the others."""
    counts = Counter(state.paused_at for state in states.values() if state.name == "paused")
    return [f"  {where}: {counted(count, 'training')}" for where, count in counts.items()]


def _open(study: Study, root: Path) -> list[str]:
    """What the plan waits for before it goes on."""
    if not (asked := study.get("open")):
        return []
    there = sum((root / path).exists() for path in asked["files"])
    return [f"  next: {asked['asks']}; {there} of {len(asked['files'])} have"]


def is_over(study: Study, root: Path = Path()) -> bool:
    """Whether no run of the study is at work or still to be made."""
    states = rungs.mark_stopped(study, {id_: state_of(run, root) for id_, run in study["runs"].items()})
    return not {state.name for state in states.values()} & {"running", "waiting"}


def other_plan(study: Study) -> str:
    """A line that says if the last call of snakemake had another plan of this study than this one; else empty."""
    page = Path("results/studies") / study["study"] / "plan.json"
    if not page.exists():
        return ""
    shown = read(page)
    if digest(shown) == digest(study):
        return ""
    with_ = ", ".join(f"{key} = {json.dumps(value)}" for key, value in shown.get("overrides", {}).items())
    runs = counted(len(shown["runs"]), "run")
    why = f"the study with {with_}" if with_ else "the study as it was then"
    return f"\n  The last call of snakemake had {why}: {runs}, and here are {len(study['runs']):,}."


def _counts(states: Mapping[str, State], ids: Mapping[str, State] | list[str], shown: list[str]) -> str:
    counts = Counter(states[id_].name for id_ in ids)
    return "".join(f"{counts[name] or '-':>9}" for name in shown)


def _best(known: Mapping[str, Facts], ids: list[str]) -> str:
    """The highest validation top-1 of some runs as a cell; the status shows no test scores."""
    found = [known[id_].top1 for id_ in ids if known[id_].top1 is not None]
    return f"{max(found):>14.2f}" if found else f"{'-':>14}"


def _spent(found: Hours) -> str:
    unit = "GPU-hours" if found.gpu else "run-hours"
    parts = [f"{_number(found.spent)} {unit} spent, {_number(found.to_go)} to go"]
    if found.unknown:
        parts[0] += f" without the {counted(found.unknown, 'run')} of stages of which none has ended yet"
    if found.left is not None:
        parts.append(f"{duration(3600 * found.left)} left with as many runs at once as now")
    return "  " + "; ".join(parts)


def _number(hours: float) -> str:
    return f"{hours:.1f}" if hours >= 1 else f"{hours:.2f}"


def _line(study: Study, id_: str, state: State, root: Path) -> str:
    name = Path(study["runs"][id_]["path"]).name
    if state.name == "damaged":
        return f"{state.name:<8} {study['runs'][id_]['stage']} {name}  {state.why}"
    about = state.why or (last_words(root / state.log) if state.name == "failed" else _progress(state))
    about = about[:_WORDS] if state.name in ("failed", "diverged") else about
    return f"{state.name:<8} {study['runs'][id_]['stage']} {name}  {about + '  ' if about else ''}{state.log}"


def _progress(state: State) -> str:
    """``epoch 3/6  top-1 95.20 %  1 min 15 s left``, as far as it is known."""
    epoch, epochs, top1, left = (state.said.get(key) for key in ("epoch", "epochs", "top1", "seconds_left"))
    parts = []
    if epochs and state.name != "paused":
        parts.append(f"epoch {epoch}/{epochs}")
    if isinstance(top1, int | float):
        parts.append(f"top-1 {top1:.2f} %")
    if state.name == "running" and isinstance(left, int | float):
        parts.append(f"{duration(left)} left")
    if state.name == "lost" and state.heard:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(state.heard))
        host = state.said.get("host")
        parts.append(f"silent since {since}" + (f" on {host}" if host else ""))
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """``2 h 5 min``, ``1 min 15 s`` or ``8 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
