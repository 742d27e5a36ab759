"""The configurations of one study: its grid resolved, checked, filtered and labelled."""

import copy
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from espalier.plan import counts
from espalier.plan.fits import image_size, misfits
from espalier.plan.grid import COUNTED, Constraint, GridPoint, UnequalAxes, attribute, expand, label, matches
from espalier.plan.keys import flat, put
from espalier.plan.problems import Problem, describe, unknown, written
from espalier.plan.spec import Settings
from espalier.plan.study import SECTIONS, Block, load


class StudyPoints:
    """The points of a study before repeats, and every mistake met on the way."""

    def __init__(self, path: Path, overrides: Mapping[str, Any]):
        self.study, self._source, self.problems = load(path, overrides)
        self._labels: dict[tuple[str, Any], str] = {}
        blocks = self.study.grid or (Block(),)
        expanded = [self._expanded(index, block) for index, block in enumerate(blocks)]
        self.axes = tuple(dict.fromkeys(path for points in expanded for changes in points for path in changes))
        resolved = [list(self._resolved(points)) for points in expanded]
        kept = [
            settings for index, block in enumerate(blocks) for settings in self._selected(index, block, resolved[index])
        ]
        unique = dict.fromkeys(self._affordable(kept))
        self.configurations = [(settings, self.labels(settings)) for settings in unique]
        self._check(any(resolved))
        self.baseline = self._baseline()

    def labels(self, settings: Settings) -> dict[str, str]:
        """The label of every axis at these settings; ``–`` where they have no such key."""
        return {path: self._label(settings, path) for path in self.axes}

    def _label(self, settings: Settings, path: str) -> str:
        try:
            found = attribute(settings, path)
        except KeyError:
            return "–"
        return self._labels.get((path, found)) or label(found)

    def _expanded(self, index: int, block: Block) -> list[GridPoint]:
        try:
            return list(expand(block, index))
        except UnequalAxes as error:
            self._problem(("grid", index, "zip"), "grid.zip", str(error))
            return []

    def _resolved(self, points: list[GridPoint]) -> Iterator[Settings]:
        base = {key: self._source.data[key] for key in SECTIONS if key in self._source.data}
        for changes in points:
            settings = self._settings(base, changes)
            if settings is None:
                continue
            for path, change in changes.items():
                if change.label:
                    self._labels.setdefault((path, attribute(settings, path)), change.label)
            yield settings

    def _settings(self, base: Mapping[str, Any], changes: GridPoint) -> Settings | None:
        nested = copy.deepcopy(dict(base))
        for path in sorted(changes, key=lambda path: path.count(".")):
            if path.partition(".")[0] not in SECTIONS:
                self._problem(changes[path].origin, path, _unknown_key(path))
                return None
            try:
                put(nested, path, copy.deepcopy(changes[path].value))
            except ValueError as error:
                self._problem(changes[path].origin, path, str(error))
                return None
        try:
            settings = Settings.model_validate(nested)
        except ValidationError as error:
            for e in error.errors():
                self._problem(_origin(written(e["loc"], Settings), changes), *describe(e, Settings))
            return None
        wrong = list(misfits(settings))
        for path, message in wrong:
            self._problem(_origin(tuple(path.split(".")), changes), path, message)
        return None if wrong else settings

    def _selected(self, index: int, block: Block, points: list[Settings]) -> Iterator[Settings]:
        conditions = [*block.exclude, *(side for c in block.when for side in (c.if_, c.then))]
        for path in dict.fromkeys(path for condition in conditions for path in condition):
            if points and not any(_has(settings, path) for settings in points):
                self._problem(("grid", index), path, _unknown_key(path))
        for settings in points:
            labels = self.labels(settings) if conditions else {}
            if any(matches(settings, labels, item) for item in block.exclude):
                continue
            if all(matches(settings, labels, c.then) for c in block.when if matches(settings, labels, c.if_)):
                yield settings

    def _affordable(self, points: list[Settings]) -> list[Settings]:
        for index, text in enumerate(self.study.constraints):
            try:
                constraint = Constraint.parse(text)
                key = constraint.key
                if key not in COUNTED and points and not any(_has(p, key) for p in points):
                    raise ValueError(unknown("quantity", key, [*COUNTED, *_known_paths()]))
                counted = _counts(points) if key in COUNTED else [{}] * len(points)
                points = [p for p, count in zip(points, counted, strict=True) if constraint.holds(p, count)]
            except (ValueError, RuntimeError) as error:
                self._problem(("constraints", index), "constraints", str(error))
        return points

    def _check(self, any_points: bool) -> None:
        if any_points and not self.configurations and not self.problems:
            self._problem(("grid",), "grid", "no point is left after exclude, when and constraints; loosen one of them")
        named: dict[tuple[str, str], Any] = {}
        for settings, labels in self.configurations:
            for path, text in labels.items():
                found = attribute(settings, path) if _has(settings, path) else None
                if named.setdefault((path, text), found) != found:
                    message = f"the label {text!r} is given to two values, whose results would be one; rename one"
                    self._problem(("grid",), path, message)
        if "train" not in self.study.stages:
            self._problem(("stages",), "stages", "every chain begins with train; add it")
        for part in ("tables", "figures"):
            seen: dict[str, int] = {}
            for index, item in enumerate(getattr(self.study, part)):
                axis = getattr(item, "axis", None)
                if axis is not None and axis not in self.axes:
                    self._problem((part, index), f"{part}.{index}.axis", unknown("axis", axis, self.axes))
                key = label(item)
                if seen.setdefault(key, index) != index:
                    self._problem((part, index), f"{part}.{index}", f"{key!r} is asked for twice; keep one")

    def _baseline(self) -> dict[str, str] | None:
        base = {key: self._source.data[key] for key in SECTIONS if key in self._source.data}
        try:
            return self.labels(Settings.model_validate(base))
        except ValidationError:
            return None

    def _problem(self, keys: tuple, key: str, message: str) -> None:
        problem = Problem(key, message, self._source.place(keys))
        if problem not in self.problems:
            self.problems.append(problem)


def _origin(keys: tuple, changes: GridPoint) -> tuple:
    """Where the user wrote the setting at `keys`: in an axis that changes it, else among the study's own settings."""
    strings = tuple(str(key) for key in keys)
    for path, change in changes.items():
        parts = tuple(path.split("."))
        if strings[: len(parts)] == parts:
            return (*change.origin, *keys[len(parts) :])
        if parts[: len(strings)] == strings:
            return change.origin
    return keys


def _has(settings: Settings, path: str) -> bool:
    try:
        attribute(settings, path)
    except KeyError:
        return False
    return True


@cache
def _known_paths() -> tuple[str, ...]:
    """Key paths of the sections, for the nearest name of a mistyped one."""
    training = Settings.model_fields["train"].default.model_dump()
    return (*SECTIONS, *(f"train.{path}" for path, _ in flat(training)), *(f"train.{key}" for key in training))


def _unknown_key(path: str) -> str:
    same_end = [known for known in _known_paths() if known.split(".")[-1] == path.split(".")[-1]]
    hint = f"; did you mean {same_end[0]!r}?" if same_end else ""
    return f"unknown key path {path!r}{hint}" if hint else unknown("key path", path, _known_paths())


def _counts(points: list[Settings]) -> list[dict[str, int]]:
    return counts.counts([(p.model, *_shape(p)) for p in points])


def _shape(settings: Settings) -> tuple[int, int]:
    """Classes and image side of a data set, from its entry in the registry.

    Raises:
        ValueError: the data set states them only once it is prepared.
    """
    classes, size = settings.dataset.entry().facts.get("classes"), image_size(settings.dataset)
    if classes is None or size is None:
        raise ValueError(
            f"budgets need the classes and image size of {settings.dataset.name!r}, which it does not state"
        )
    return classes, size
