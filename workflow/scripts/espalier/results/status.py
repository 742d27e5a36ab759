"""The state of a study in words: counts a stage, then a line for each run that runs, has failed or is lost."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from espalier.results.state import STATES, State, last_words, state_of
from espalier.results.study import Study


def told(study: Study, root: Path = Path()) -> str:
    """Counts of every state, and the runs that want attention with the paths of their logs."""
    states = {id_: state_of(run, root) for id_, run in study["runs"].items()}
    lines = [f"{study['study']:<12}" + "".join(f"{name:>9}" for name in STATES)]
    for stage in dict.fromkeys(run["stage"] for run in study["runs"].values()):
        of_stage = [states[id_].name for id_, run in study["runs"].items() if run["stage"] == stage]
        lines.append(f"  {stage:<10}" + _counts(of_stage))
    lines.append(f"  {'all':<10}" + _counts([state.name for state in states.values()]))
    for wanted in ("running", "failed", "lost"):
        chosen = {id_: state for id_, state in states.items() if state.name == wanted}
        lines += [_line(study, id_, state, root) for id_, state in chosen.items()]
    return "\n".join(lines)


def _counts(names: list[str]) -> str:
    counts = Counter(names)
    return "".join(f"{counts[name] or '-':>9}" for name in STATES)


def _line(study: Study, id_: str, state: State, root: Path) -> str:
    name = Path(study["runs"][id_]["path"]).name
    about = last_words(root / state.log)[:100] if state.name == "failed" else _progress(state.said, state.name)
    return f"{state.name:<8} {name}  {about + '  ' if about else ''}{state.log}"


def _progress(said: Mapping[str, object], state: str) -> str:
    """``epoch 3/6  top-1 95.20 %  1 min 15 s left``, as far as it is known."""
    epoch, epochs, top1, left = (said.get(key) for key in ("epoch", "epochs", "top1", "seconds_left"))
    parts = []
    if epoch is not None:
        parts.append(f"epoch {epoch}/{epochs}" if epochs else f"epoch {epoch}")
    if isinstance(top1, int | float):
        parts.append(f"top-1 {top1:.2f} %")
    if state == "running" and isinstance(left, int | float):
        parts.append(f"{_duration(left)} left")
    return "  ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
