"""The configurations of one study: its grid resolved, checked, filtered and labelled."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from espalier.errors import DataError
from espalier.plan import idle, model_counts, network_sizes, own_images, scale, steps, teachers, unmet
from espalier.plan.chain import Settings, chain
from espalier.plan.fits import misfits
from espalier.plan.grid import COUNTED, Constraint, GridPoint, UnequalAxes, attribute, expand, has, label, matches, size
from espalier.plan.starts import Starts
from espalier.plan.study import SECTIONS, Block, Loaded
from espalier.settings.keys import flat, put
from espalier.settings.problems import Problem, StudyError, describe, unknown, written

CHAINS = 100_000
"""The most that a study may have, before `exclude`, `when` and budgets take some away: a plan of more takes longer than
a quarter of an hour, and more memory than most machines have."""


class StudyPoints:
    """The points of a study before repeats, and every mistake met on the way."""

    def __init__(self, loaded: Loaded, overrides: Mapping[str, Any], starts: Starts):
        self.study, self._source, self.problems = loaded
        self._starts = starts
        self._labels: dict[tuple[str, Any], str] = {}
        blocks = self.study.grid or (Block(),)
        if more := _too_many(blocks, self.study.times):
            self._problem(*more)
            raise StudyError(self.problems)
        expanded = [self._expanded(index, block) for index, block in enumerate(blocks)]
        self.axes = tuple(dict.fromkeys(path for points in expanded for changes in points for path in changes))
        resolved = [list(self._resolved(points)) for points in expanded]
        kept = [
            settings for index, block in enumerate(blocks) for settings in self._selected(index, block, resolved[index])
        ]
        unique = dict.fromkeys(self._affordable(self._prunable(kept)))
        self.configurations = [(settings, self.labels(settings)) for settings in unique]
        self.baseline = self._baseline()
        self._check(any(resolved))
        self.warnings = self._idle(overrides, [changes for points in expanded for changes in points])
        self.cut = self._cut()
        if self.study.scale == "smoke":
            self.study = scale.shown(self.study)

    def labels(self, settings: Settings) -> dict[str, str]:
        """The label of every axis at these settings; ``–`` where they have no such key."""
        return {path: self._label(settings, path) for path in self.axes}

    def _label(self, settings: Settings, path: str) -> str:
        if path.partition(".")[0] in settings.unread():
            return "–"
        try:
            found = attribute(settings, path)
        except KeyError:
            return "–"
        return self._labels.get((path, found)) or label(found, without=self._nested(path))

    def _nested(self, path: str) -> list[str]:
        """Keys below an axis that are axes themselves, and name their own values."""
        return [axis.removeprefix(f"{path}.") for axis in self.axes if axis.startswith(f"{path}.")]

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
        nested, unfound = self._starts.resolved(nested)
        for path, message in unfound:
            self._problem(_origin(tuple(path.split(".")), changes), path, message)
        if unfound:
            return None
        try:
            settings = Settings.model_validate(nested)
        except ValidationError as error:
            for e in teachers.told_once(error.errors()):
                self._problem(_origin(written(e["loc"], Settings), changes), *describe(e, Settings))
            return None
        wrong = list(misfits(settings))
        for path, message in wrong:
            self._problem(_origin(tuple(path.split(".")), changes), path, message)
        return None if wrong else settings.reduced()

    def _selected(self, index: int, block: Block, points: list[Settings]) -> Iterator[Settings]:
        conditions = [*block.exclude, *(side for c in block.when for side in (c.if_, c.then))]
        for path in dict.fromkeys(path for condition in conditions for path in condition):
            if points and not any(has(settings, path) for settings in points):
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
                if key not in COUNTED and points and not any(has(p, key) for p in points):
                    raise ValueError(unknown("quantity", key, [*COUNTED, *_known_paths()]))
                counted = network_sizes.counts(points) if key in COUNTED else [{}] * len(points)
                if wrong := next((row["error"] for row in counted if "error" in row), None):
                    raise ValueError(wrong)
                points = [p for p, count in zip(points, counted, strict=True) if constraint.holds(p, count)]
            except (ValueError, RuntimeError) as error:
                self._problem(("constraints", index), "constraints", str(error))
        return points

    def _prunable(self, points: list[Settings]) -> list[Settings]:
        """The points, those whose pruning would fail after their training taken out."""
        asked = [point for point in points if network_sizes.tried(point) and None not in network_sizes.shape(point)]
        try:
            found = model_counts.counts(
                model_counts.Network(p.model, *network_sizes.shape(p), network_sizes.tried(p)) for p in asked
            )
        except RuntimeError as error:
            self._problem(("prune",), "prune", f"what it leaves cannot be counted: {error}")
            return points
        wrong = {point: row["error"] for point, row in zip(asked, found, strict=True) if "error" in row}
        for point, message in wrong.items():
            self._problem(("prune",), "prune", f"{label(point.model)}, {label(point.prune)}: {message}")
        return [point for point in points if point not in wrong]

    def _cut(self) -> list[Settings | None]:
        """The settings of every configuration's smoke run; None where the study runs in full."""
        chosen = [settings for settings, _ in self.configurations]
        cut, wrong = scale.cut(chosen, self.study, [network_sizes.shape(settings) for settings in chosen])
        for path, message in wrong:
            self._problem(("smoke", path), f"smoke.{path}", message)
        return cut

    def _check(self, any_points: bool) -> None:
        if any_points and not self.configurations and not self.problems:
            self._problem(("grid",), "grid", "no point is left after exclude, when and constraints; loosen one of them")
        named: dict[tuple, Any] = {}
        for settings, labels in self.configurations:
            for path, text in labels.items():
                found = attribute(settings, path) if has(settings, path) else None
                below = tuple(labels[f"{path}.{key}"] for key in self._nested(path))
                # A teacher is what the rest of the chain makes of it.
                value = type(found) if teachers.within(found) else found
                alike = {(path, text, below): value, (path, text, tuple(labels.items())): found}
                if any(named.setdefault(key, value) != value for key, value in alike.items()):
                    message = f"the label {text!r} is given to two values, whose results would be one; rename one"
                    self._problem(("grid",), path, message)
        if self.study.scale == "full":
            self._see_sources()
        if self.study.folds:
            self._check_folds()
        if "train" not in self.study.stages:
            self._problem(("stages",), "stages", "every chain begins with train; add it")
        trainings = list(dict.fromkeys(settings.stage("train") for settings, _ in self.configurations))
        for keys, key, message in steps.problems(self.study, [each.train for each in trainings]):
            self._problem(keys, key, message)
        for keys, key, message in unmet.unmet(self.study, self.axes, self.configurations, self.baseline):
            self._problem(keys, key, message)

    def _check_folds(self) -> None:
        for dataset in dict.fromkeys(settings.dataset for settings, _ in self.configurations):
            kind, default, _ = dataset.entry().settings.get("split", ("", None, ""))
            if "Folds" not in kind:
                self._problem(("folds",), "folds", f"{dataset.name} has its own splits; leave folds out")
            elif dataset.split != default:
                self._problem(("folds",), "folds", "dataset.split says what is tested already; leave one of them out")

    def _see_sources(self) -> None:
        """Tell of images that no run could use, unless they are prepared already."""
        for settings, _ in self.configurations:
            if Path(chain({"prepare": settings.stage("prepare")})["prepare"].path).exists():
                continue
            try:
                own_images.known(settings.dataset)
            except DataError as error:
                key = str(error).partition(" ")[0]
                self._problem(("dataset", key.rpartition(".")[2]), key, str(error).partition(" ")[2])

    def _idle(self, overrides: Mapping[str, Any], points: list[GridPoint]) -> list[Problem]:
        """What the study says in vain."""
        chosen = [settings for settings, _ in self.configurations]
        vain = [(path, message, "--config") for path, message in idle.overrides(overrides, points, chosen)]
        late = dict.fromkeys(idle.schedules(chosen))
        vain += [(path, message, self._source.place(tuple(path.split(".")))) for path, message in late]
        return [Problem(path, message, place) for path, message, place in vain]

    def _baseline(self) -> dict[str, str] | None:
        base = {key: self._source.data[key] for key in SECTIONS if key in self._source.data}
        try:
            return self.labels(Settings.model_validate(self._starts.resolved(base)[0]))
        except ValidationError:
            return None

    def _problem(self, keys: tuple, key: str, message: str) -> None:
        problem = Problem(key, message, self._source.place(keys))
        if problem not in self.problems:
            self.problems.append(problem)


def _too_many(blocks: Sequence[Block], repeats: int) -> tuple[tuple, str, str] | None:
    """(Keys in the file, key path, message) of a study with more chains than a plan can hold."""
    points = sum(map(size, blocks))
    if points * repeats <= CHAINS:
        return None
    keys, key = (("grid",), "grid") if points > CHAINS else (("repeats",), "repeats")
    return (
        keys,
        key,
        (
            f"{points:,} points × {repeats:,} repeats are more than the {CHAINS:,} chains that a plan holds; "
            "make it smaller, or several studies (docs/scale.md)"
        ),
    )


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


@cache
def _known_paths() -> tuple[str, ...]:
    """Key paths of the sections, for the nearest name of a mistyped one."""
    training = Settings.model_fields["train"].default.model_dump()
    return (*SECTIONS, *(f"train.{path}" for path, _ in flat(training)), *(f"train.{key}" for key in training))


def _unknown_key(path: str) -> str:
    same_end = [known for known in _known_paths() if known.split(".")[-1] == path.split(".")[-1]]
    hint = f"; did you mean {same_end[0]!r}?" if same_end else ""
    return f"unknown key path {path!r}{hint}" if hint else unknown("key path", path, _known_paths())
