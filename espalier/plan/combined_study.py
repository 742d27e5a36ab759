"""A study of studies: the points of several that share a data set, with their study as an axis."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from espalier.plan import output_checks
from espalier.plan.grid import attribute, label
from espalier.plan.study import Study
from espalier.plan.study_file import Source
from espalier.settings.problems import Problem, StudyError

if TYPE_CHECKING:
    from espalier.plan.build import PlannedStudy, Point

AXIS = "study"
"""The axis that says whose point a point is; the first in the order of axes."""
OWN = ("title", "description", "compare", "tables", "figures")
"""What the file of such a study may hold: its points are those of other files."""


def problems(study: Study, source: Source) -> list[Problem]:
    """What the file of a study of studies says in vain or amiss."""
    found = [
        Problem(key, "a study that compares others has no runs of its own; leave it out", source.place((key,)))
        for key in source.own
        if key not in OWN
    ]
    if len(set(study.compare)) < max(2, len(study.compare)):
        found.append(Problem("compare", "name two studies or more, each once", source.place(("compare",))))
    return found


def combine(
    study: Study, members: Mapping[str, "PlannedStudy"], place: str, key: str = ""
) -> "tuple[Study, tuple[str, ...], Mapping[str, str] | None, tuple[Point, ...]]":
    """Combine several studies into one: its settings, axes, the labels of its baseline, and its points, each once.

    Repeats, folds and scale come from the members; the baseline is the first member's. A point has a label on every
    axis: on an axis that its own study does not vary, the label of its setting there.

    Args:
        members: name → a study, planned
        place: file and line that name them, for messages
        key: the key that names them, in a file

    Raises:
        StudyError: they have different data, or give one label to two settings.
    """
    if wrong := [*_other_data(members), *_two_meanings(members)]:
        raise StudyError([Problem(key, message, place) for message in wrong])
    known = {key: text for key, text, _ in _labelled(members)}
    own = tuple(dict.fromkeys(axis for one in members.values() for axis in one.axes))
    axes = (AXIS, *own)
    points: dict[tuple, Point] = {}
    baseline = None
    for name, one in members.items():
        for point in one.points:
            labels = {AXIS: name} | {axis: point.labels.get(axis) or _named(point, axis, known) for axis in own}
            # The chain of two studies is one point, of the study that is named first.
            ids = tuple(run.id for run in point.runs.values())
            points.setdefault((*ids, point.repeat), type(point)(labels, point.repeat, point.runs))
            if baseline is None and point.labels == one.baseline and one is next(iter(members.values())):
                baseline = labels
    first, *others = (one.study for one in members.values())
    folds = first.folds if all(other.folds == first.folds for other in others) else None
    times = max(one.study.times for one in members.values())
    same = {"repeats": times // (folds or 1), "folds": folds, "scale": first.scale}
    return study.model_copy(update=same), axes, baseline, tuple(points.values())


def with_answers(planned: "PlannedStudy", members: Mapping[str, "PlannedStudy"]) -> "PlannedStudy":
    """The study with what its members have asked of results, and the first question that one of them has open."""
    answers = tuple(answer for one in members.values() for answer in one.answers)
    return replace(
        planned, answers=answers, pending=next((one.pending for one in members.values() if one.pending), None)
    )


def output_problems(study: Study, axes: Sequence[str], source: Source) -> list[Problem]:
    """Problems of a study that compares others: its tables and figures ask for something that does not exist."""
    found = output_checks.problems(study, axes, (), None)
    return [Problem(key, message, source.place(keys)) for keys, key, message in found]


def _other_data(members: Mapping[str, "PlannedStudy"]) -> Iterator[str]:
    prepared = {name: {point.runs["prepare"].id for point in one.points} for name, one in members.items()}
    (first, wanted), *others = prepared.items()
    for name, found in others:
        if found != wanted:
            yield f"{first} and {name} have other data or other splits of it; their accuracies do not compare"


def _two_meanings(members: Mapping[str, "PlannedStudy"]) -> Iterator[str]:
    if any(one.study.scale != "full" for one in members.values()):
        return
    named: dict[tuple[str, str], tuple[Any, str]] = {}
    for (axis, value), text, name in _labelled(members):
        other, whose = named.setdefault((axis, text), (value, name))
        if whose != name and other != value:
            yield f"the label {text!r} of {axis} means one thing in {whose} and another in {name}; rename one"


def _labelled(members: Mapping[str, "PlannedStudy"]) -> Iterator[tuple[tuple[str, Any], str, str]]:
    """((axis, setting), label, study) of every point, those without the setting left out."""
    for name, one in members.items():
        seen: set[tuple] = set()
        for point in one.points:
            for axis, text in point.labels.items():
                value = _setting(point, axis)
                if value is not None and ((axis, value), text) not in seen:
                    seen.add(((axis, value), text))
                    yield (axis, value), text, name


def _named(point: "Point", axis: str, known: Mapping[tuple[str, Any], str]) -> str:
    value = _setting(point, axis)
    return "–" if value is None else known.get((axis, value)) or label(value)


def _setting(point: "Point", axis: str) -> Any:
    """The setting of a point at a key path, from the last run of its chain that has it; None where none has."""
    for run in reversed(point.runs.values()):
        try:
            return attribute(run.spec, axis)
        except KeyError:
            continue
    return None
