"""Finds overrides and schedules of a study that have no effect, and warns of them before any job."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from espalier.plan.chain import Settings
from espalier.plan.study import SECTIONS
from espalier.settings.keys import flat
from espalier.settings.sections import Training
from espalier.stages import STAGES
from espalier.stages.frame.stage_run import section


def overrides(
    given: Mapping[str, Any], points: Sequence[Collection[str]], chosen: Sequence[Settings], space: Collection[str] = ()
) -> Iterator[tuple[str, str]]:
    """Every (key path, message) of an override that changes no run.

    Args:
        points: the key paths that each point sets
        chosen: the settings of the points that are left
        space: the key paths that are drawn
    """
    unread = set.intersection(*(settings.unread() for settings in chosen)) if chosen else set()
    for path, _ in flat(given):
        if path.partition(".")[0] not in SECTIONS:
            continue
        over = next(filter(None, (_replacing(path, changes) for changes in points)), "")
        if over and all(_replacing(path, changes) for changes in points):
            part = "space" if over in space else "grid"
            yield path, f"does nothing, since every point of the {part} sets {over}; change {part}, or leave it out"
        elif path.partition(".")[0] in unread:
            yield path, "does nothing, since no chain of the study reads it"


def _replacing(path: str, changes: Collection[str]) -> str:
    """The axis of a point that replaces what stands at a key path."""
    return next((axis for axis in changes if f"{path}.".startswith(f"{axis}.")), "")


def schedules(chosen: Iterable[Settings]) -> Iterator[tuple[str, str]]:
    """Every (key path, message) of a schedule whose first cut, or whose first period, ends after the training."""
    for settings in chosen:
        for stage in (STAGES[name] for name in settings.stages()):
            train = section(stage, settings)
            if train is not None and train.epochs and (message := _unreached(train)):
                yield f"{stage.training}.scheduler", message


def _unreached(train: Training) -> str | None:
    facts, settings = train.scheduler.entry().facts, train.scheduler.settings()
    if "cuts" in facts:
        cuts = settings[facts["cuts"]]
        first = min(cuts) if isinstance(cuts, tuple) else cuts
        if first >= train.epochs:
            return (
                f"{train.scheduler.name} first cuts the rate after {first} epochs, and the training has {train.epochs}"
            )
    if "period" in facts:
        period = settings[facts["period"]]
        if period + train.warmup_epochs > train.epochs:
            warmup = f" after {train.warmup_epochs:g} of warm-up" if train.warmup_epochs else ""
            name = f"{train.scheduler.name} has a first period of {period:g} epochs{warmup}"
            return f"{name}, and the training ends after {train.epochs}"
    return None
