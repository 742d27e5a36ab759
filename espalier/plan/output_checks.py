"""Checks that a study's points can fill the tables and figures that it asks for."""

from collections.abc import Iterator, Sequence

from espalier.errors import Mistake
from espalier.plan import published_numbers
from espalier.plan.chain import Settings
from espalier.plan.grid import label
from espalier.plan.study import Study
from espalier.settings.problems import unknown
from espalier.settings.registry import Choice
from espalier.settings.sections import Evaluation

Labels = dict[str, str]
"""Axis → label."""


def problems(
    study: Study, axes: Sequence[str], configurations: Sequence[tuple[Settings, Labels]], baseline: Labels | None
) -> Iterator[tuple[tuple, str, str]]:
    """Every (keys in the file, key path, message) of a table or figure that the grid has nothing for.

    Args:
        axes: key paths of the grid
        configurations: the points of the grid; without any, only what needs none is told
        baseline: the labels of the study's own settings
    """
    for part in ("tables", "figures"):
        seen: dict[str, int] = {}
        for index, item in enumerate(getattr(study, part)):
            for key, message in _of(item, study, axes, configurations, baseline):
                yield (part, index), ".".join(filter(None, (part, str(index), key))), message
            name = label(item)
            if seen.setdefault(name, index) != index:
                yield (part, index), f"{part}.{index}", f"{name!r} is asked for twice; keep one"


def _of(
    item: Choice,
    study: Study,
    axes: Sequence[str],
    configurations: Sequence[tuple[Settings, Labels]],
    baseline: Labels | None,
) -> Iterator[tuple[str, str]]:
    """Every (setting, message) of what is wrong with one; an empty setting is the whole of it."""
    facts = item.entry().facts
    axis = getattr(item, "axis", None) or facts.get("axis")
    if axis is not None and axis not in axes:
        yield "axis", unknown("axis", axis, axes)
    for key in ("baseline", "configuration"):
        named = getattr(item, key, None) or {}
        if message := _unmatched(named, axes, [labels for _, labels in configurations], baseline):
            yield key, message
    if getattr(item, "axis", None) and getattr(item, "configuration", None):
        yield "configuration", "one configuration has no line for each value of an axis; keep one of the two"
    stage = facts.get("stage")
    if stage and configurations and not any(stage in settings.stages(study.stages) for settings, _ in configurations):
        yield "", f"{item.name} shows what the stage {stage} did, which no point of the grid has"
    elif configurations and (message := _unmeasured(item, [settings.evaluate for settings, _ in configurations])):
        yield "", message
    if facts.get("halving") and study.halving is None:
        yield "", f"{item.name} shows rungs, and the study has none; set halving"
    if facts.get("reads") == "published" and (message := published_numbers.misfit(item.file, item.value, axes)):
        yield "file", message
    if file := getattr(item, "published", None):
        try:
            published_numbers.points(file, item.x)
        except Mistake as error:
            yield "published", str(error)
    if getattr(item, "repeat", 1) > study.times:
        yield "repeat", f"there is no repeat {item.repeat}; there are {study.times}"


def _unmeasured(item: Choice, evaluations: Sequence[Evaluation]) -> str | None:
    """What no evaluation measures that a table or figure shows."""
    facts = item.entry().facts
    metric = facts.get("metric")
    if metric and not any(metric in {one.name for one in each.metrics} for each in evaluations):
        return f"{item.name} shows the metric {metric}, which no point measures; add it to evaluate.metrics"
    if facts.get("corrupted") and not any(each.corruptions for each in evaluations):
        return f"{item.name} shows scores on corrupted images; set evaluate.corruptions, {{}} for all corruptions"
    return None


def _unmatched(named: Labels, axes: Sequence[str], points: Sequence[Labels], baseline: Labels | None) -> str | None:
    """What is wrong with the labels of a configuration that a table shows, or compares others with."""
    for axis, text in named.items():
        if axis not in axes:
            return unknown("axis", axis, axes)
        known = dict.fromkeys(labels[axis] for labels in points)
        if points and text not in known:
            return unknown(f"label of {axis}", text, known)
    wanted = dict(baseline or {}) | named
    if named and points and all(labels != wanted for labels in points):
        text = ", ".join(f"{axis}: {label}" for axis, label in wanted.items())
        return f"no point of the grid has the labels {text}; name one that has, or add it to the grid"
    return None
