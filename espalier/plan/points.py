"""The configurations of one study: its grid resolved, checked, filtered and labelled."""

import copy
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from espalier.errors import DataError, Mistake
from espalier.plan import (
    ineffective,
    key_paths,
    limits,
    network_sizes,
    output_checks,
    own_images,
    rungs,
    sampled_points,
    scale,
    teachers,
    trials,
)
from espalier.plan.chain import Settings, chain
from espalier.plan.grid import GridPoint, UnequalAxes, attribute, expand, has, label
from espalier.plan.search_rounds import Rounds
from espalier.plan.selected_points import Selections
from espalier.plan.settings_misfits import misfits
from espalier.plan.starting_weights import StartingWeights
from espalier.plan.study import SECTIONS, Block, Loaded, Select
from espalier.settings.keys import put
from espalier.settings.problems import Problem, StudyError, describe, written


class StudyPoints:
    """The points of a study before repeats, and every mistake met on the way."""

    def __init__(
        self,
        loaded: Loaded,
        overrides: Mapping[str, Any],
        starts: StartingWeights,
        selections: Selections,
        rounds: Rounds,
    ):
        self.study, self._source, self.problems = loaded
        self._starts, self._selections, self._rounds = starts, selections, rounds
        self._changes: dict[Settings, GridPoint] = {}
        self._labels: dict[tuple[str, Any], str] = {}
        blocks = self.study.grid or (Block(),)
        if more := limits.too_many(self.study, blocks):
            self._problem(*more)
            raise StudyError(self.problems)
        for each in sampled_points.problems(self.study, self._source.data):
            self._problem(*each)
        expanded: list[list[GridPoint]] = []
        self.axes: tuple[str, ...] = ()
        axes = dict.fromkeys(self.study.space)
        for index, block in enumerate(blocks):
            points = self._expanded(index, block)
            own = dict.fromkeys(itertools.chain(*points))
            if block.select:
                more, points = self._from_best(index, block.select, points, expanded)
                axes |= dict.fromkeys(more)
            elif any(each.select for each in blocks[:index]):
                self._problem(("grid", index), f"grid.{index}", "stands behind one that selects; put it before that")
            axes |= own
            self.axes = tuple(axes)
            expanded.append(points)
        # What each point changes.
        varied = [(*self.study.space, *changes) for points in expanded for changes in points]
        chosen = self._choose(expanded)
        self.configurations = [(settings, self.labels(settings)) for settings in chosen]
        unselected = self._unselected()
        self.first = len(self._choose(expanded[:unselected])) if unselected < len(blocks) else len(chosen)
        self.changes = {tuple(labels.values()): self._changes[settings] for settings, labels in self.configurations}
        self.rounds = {
            tuple(labels.values()): self._rounds.of[settings]
            for settings, labels in self.configurations
            if settings in self._rounds.of
        }
        self.baseline = self._baseline()
        self._check()
        self.warnings = self._ineffective(overrides, varied)
        self.smoke_runs = self._smoke_runs()
        if self.study.scale == "smoke":
            self.study = scale.smoke_study(self.study)

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

    def _unselected(self) -> int:
        """The number of blocks without `select`; they come first."""
        blocks = self.study.grid or (Block(),)
        return next((index for index, block in enumerate(blocks) if block.select), len(blocks))

    def _from_best(
        self, index: int, select: Select, points: list[GridPoint], before: list[list[GridPoint]]
    ) -> tuple[tuple[str, ...], list[GridPoint]]:
        """Axes that the selected configurations vary, and every point of a block laid over each of these; no point
        while they are not known."""
        axes: tuple[str, ...] = ()
        try:
            if select.study:
                axes, starts = self._selections.of_study(select)
            elif not index:
                raise Mistake("there is no block before this one; name a study, or put one there")
            else:
                known = [(settings, self.labels(settings)) for settings in self._choose(before)]
                first = len(self._choose(before[: self._unselected()]))
                places = self._selections.of_blocks(select, known, first)
                starts = None if places is None else [self._changes[known[place][0]] for place in places]
        except StudyError as error:
            starts = []
            self._problem(("grid", index, "select"), f"grid.{index}.select", f"{select.study}: {error}")
        except Mistake as error:
            starts = []
            self._problem(("grid", index, "select"), f"grid.{index}.select", str(error))
        return axes, [{**start, **changes} for start in starts or () for changes in points]

    def _choose(self, expanded: list[list[GridPoint]]) -> list[Settings]:
        if not expanded:
            return []
        study = self.study.model_copy(update={"grid": self.study.grid[: len(expanded)]})
        try:
            asking = None if self.problems else self._rounds
            chosen, wrong, short = sampled_points.choose_points(study, expanded, self._resolved, self.labels, asking)
        except Mistake as error:
            chosen, wrong, short = [], [(("sample",), "sample", str(error))], []
        for each in wrong or ([] if self.problems else short):
            self._problem(*each)
        return chosen

    def _resolved(self, points: list[GridPoint]) -> list[Settings]:
        base = {key: self._source.data[key] for key in SECTIONS if key in self._source.data}
        found = []
        for changes in points:
            settings = self._settings(base, changes)
            if settings is None:
                continue
            for path, change in changes.items():
                if change.label:
                    self._labels.setdefault((path, attribute(settings, path)), change.label)
            self._changes.setdefault(settings, changes)
            found.append(settings)
        return found

    def _settings(self, base: Mapping[str, Any], changes: GridPoint) -> Settings | None:
        nested = copy.deepcopy(dict(base))
        for path in sorted(changes, key=lambda path: path.count(".")):
            if path.partition(".")[0] not in SECTIONS:
                self._problem(changes[path].origin, path, key_paths.unknown_key(path))
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
            for e in teachers.without_repeats(error.errors()):
                self._problem(_origin(written(e["loc"], Settings), changes), *describe(e, Settings))
            return None
        wrong = list(misfits(settings))
        for path, message in wrong:
            self._problem(_origin(tuple(path.split(".")), changes), path, message)
        return None if wrong else settings.reduced()

    def _smoke_runs(self) -> list[Settings | None]:
        """The settings of every configuration's smoke run; None where the study runs in full."""
        chosen = [settings for settings, _ in self.configurations]
        cut, wrong = scale.smoke_runs(chosen, self.study, [network_sizes.shape(settings) for settings in chosen])
        for path, message in wrong:
            self._problem(("smoke", path), f"smoke.{path}", message)
        return cut

    def _check(self) -> None:
        if not self.configurations and not self.problems and not self._selections.pending:
            self._problem(("grid",), "grid", "no point is left after exclude, when and constraints; loosen one of them")
        named: dict[tuple, Any] = {}
        for settings, labels in self.configurations:
            for path, text in labels.items():
                found = attribute(settings, path) if has(settings, path) else None
                below = tuple(labels[f"{path}.{key}"] for key in self._nested(path))
                # A teacher is completed from the rest of the chain, so only its type is compared.
                value = type(found) if teachers.has_teacher(found) else found
                alike = {(path, text, below): value, (path, text, tuple(labels.items())): found}
                if any(named.setdefault(key, value) != value for key, value in alike.items()):
                    message = f"the label {text!r} is given to two values, whose results would be one; rename one"
                    self._problem(("grid",), path, message)
        if self.study.scale == "full":
            self._check_sources()
        if self.study.folds:
            self._check_folds()
        if "train" not in self.study.stages:
            self._problem(("stages",), "stages", "every chain begins with train; add it")
        # What follows from a selection has no rungs.
        compared = self.configurations[: self.first]
        trainings = list(dict.fromkeys(settings.stage("train") for settings, _ in compared))
        for part in (rungs, trials):
            for each in part.problems(self.study, [each.train for each in trainings]):
                self._problem(*each)
        # While a question is open, points are still to come.
        known = () if self._selections.pending or self._rounds.pending else self.configurations
        for keys, key, message in output_checks.problems(self.study, self.axes, known, self.baseline):
            self._problem(keys, key, message)

    def _check_folds(self) -> None:
        for dataset in dict.fromkeys(settings.dataset for settings, _ in self.configurations):
            kind, default, _ = dataset.entry().settings.get("split", ("", None, ""))
            if "Folds" not in kind:
                self._problem(("folds",), "folds", f"{dataset.name} has its own splits; leave folds out")
            elif dataset.split != default:
                self._problem(("folds",), "folds", "dataset.split says what is tested already; leave one of them out")

    def _check_sources(self) -> None:
        """Tell of images that no run could use, unless they are prepared already."""
        for settings, _ in self.configurations:
            if Path(chain({"prepare": settings.stage("prepare")})["prepare"].path).exists():
                continue
            try:
                own_images.source(settings.dataset)
            except DataError as error:
                key = str(error).partition(" ")[0]
                self._problem(("dataset", key.rpartition(".")[2]), key, str(error).partition(" ")[2])

    def _ineffective(self, overrides: Mapping[str, Any], varied: list[tuple[str, ...]]) -> list[Problem]:
        """What the study says in vain."""
        chosen = [settings for settings, _ in self.configurations]
        replaced = ineffective.overrides(overrides, varied, chosen, self.study.space)
        vain = [(path, message, "--config") for path, message in replaced]
        late = dict.fromkeys(ineffective.schedules(chosen))
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
