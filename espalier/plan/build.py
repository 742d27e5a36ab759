"""The plan: every run of the chosen studies, shared ones once."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from espalier.counted import counted
from espalier.errors import Mistake
from espalier.plan import combined_study, rungs, sampled_points
from espalier.plan.chain import Settings, chain
from espalier.plan.grid import GridPoint
from espalier.plan.open_questions import OpenQuestion
from espalier.plan.points import StudyPoints
from espalier.plan.runs import Run
from espalier.plan.search_rounds import Rounds
from espalier.plan.selected_points import Configured, Selections
from espalier.plan.starting_weights import StartingWeights
from espalier.plan.study import Loaded, Study, load
from espalier.plan.study_file import find
from espalier.settings.problems import Problem, StudyError
from espalier.settings.registry import Spec
from espalier.settings.types import Folds
from espalier.stages import STAGES


@dataclass(frozen=True)
class Point:
    """One configuration of a study with one repeat: a label an axis, a run a stage."""

    labels: Mapping[str, str]
    repeat: int
    runs: Mapping[str, Run]

    @property
    def all_runs(self) -> list[Run]:
        """Its runs, each after its teacher, which may stand in no chain."""
        return [run for each in self.runs.values() for run in (*each.teachers, each)]


@dataclass(frozen=True)
class PlannedStudy:
    """A study with all its points."""

    name: str
    source: str
    study: Study
    axes: tuple[str, ...]
    baseline: Mapping[str, str] | None
    """labels of the study's own settings, with no axis changed; None where these make no run"""
    points: tuple[Point, ...]
    overrides: Mapping[str, Any]
    """study keys that were laid over the file"""
    warnings: tuple[Problem, ...] = ()
    """what it says in vain"""
    answers: tuple[Mapping[str, Any], ...] = ()
    """to the questions that it has asked of results so far"""
    pending: OpenQuestion | None = None
    """the question that must be answered before the plan goes on; None where it is whole"""

    changes: Mapping[tuple[str, ...], GridPoint] = field(default_factory=dict)
    """labels of a configuration → what it changes of the study's own settings"""
    rounds: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    """labels of a configuration → the round of a search that it came with; empty where there are none"""

    @property
    def kept(self) -> tuple[Point, ...]:
        """The points that no rung has dropped so far."""
        dropped = rungs.dropped(self.answers)
        return tuple(point for point in self.points if point.runs["train"].name not in dropped)

    @property
    def runs(self) -> dict[str, Run]:
        """Id → run, of all points and of their teachers."""
        return {run.id: run for point in self.points for run in point.all_runs}


@dataclass(frozen=True)
class Plan:
    """All runs of the chosen studies."""

    studies: Mapping[str, PlannedStudy]
    runs: Mapping[str, Mapping[str, Run]]
    """stage → name → run; a run that several points or studies ask for stands here once"""

    def summary(self) -> str:
        """Runs asked, unique runs after sharing, their number a stage, and a warning of whatever is said in vain."""
        lines = []
        wanted = 0
        for name, planned in self.studies.items():
            runs = sum(len(point.runs) for point in planned.points)
            wanted += runs
            chains = counted(len(planned.points), "chain")
            configurations = counted(len(planned.points) // planned.study.times, "configuration")
            folds = f" × {counted(planned.study.folds, 'fold')}" if planned.study.folds else ""
            drawn = sampled_points.summary(planned.study, planned.answers)
            if planned.study.compare:
                lines.append(f"study {name}: {chains} of {', '.join(planned.study.compare)}")
                continue
            if planned.pending and not planned.points:
                lines.append(f"study {name}: its configurations are not known yet")
                lines += [f"  {line}" for line in rungs.lines(planned)]
                continue
            lines.append(
                f"study {name}: {configurations}{f' ({drawn})' if drawn else ''}"
                f" × {counted(planned.study.repeats, 'repeat')}{folds}"
                f" = {chains}, {counted(runs, 'run')} asked"
            )
            lines += [f"  {line}" for line in rungs.lines(planned)]
        stages = ", ".join(f"{stage} {len(runs)}" for stage, runs in self.runs.items() if runs)
        unique = sum(map(len, self.runs.values()))
        most = "at most " if any(rungs.ends_early(one.study) for one in self.studies.values()) else ""
        warnings = [f"warning: study {name}: {each}" for name, one in self.studies.items() for each in one.warnings]
        plan = f"plan: {most}{counted(wanted, 'run')} asked, {unique:,} unique after sharing ({stages})"
        return "\n".join([*lines, *warnings, plan])


def build(
    names: Sequence[str], folder: Path, overrides: Mapping[str, Any] | None = None, asking: tuple[str, ...] = ()
) -> Plan:
    """Plan the named studies of `folder`, with `overrides` laid over each.

    Args:
        asking: studies that start from the best of one another, and of the named ones

    Raises:
        StudyError: every mistake of every study, each with its place.
    """
    studies: dict[str, PlannedStudy] = {}
    problems: list[Problem] = []
    for name in names:
        try:
            path = find(name, folder)
            planned, wrong = _study(path, folder, overrides or {}, asking)
            problems += wrong
            if planned is None:
                continue
            if planned.name in studies:
                message = f"two studies are named {planned.name!r}; their results would share a folder"
                raise StudyError([Problem("studies", message, str(path))])
            studies[planned.name] = planned
        except StudyError as error:
            problems += error.problems
    if problems:
        raise StudyError(problems)
    return Plan(studies, _shared(studies))


def _study(
    path: Path, folder: Path, overrides: Mapping[str, Any], asking: tuple[str, ...]
) -> tuple[PlannedStudy | None, list[Problem]]:
    """A study and every mistake in it; None in the place of one that compares others and is wrong."""
    loaded = load(path, overrides)
    study, source, _ = loaded
    if not study.compare:
        return _points(path, folder, loaded, overrides, (*asking, path.stem))
    problems = loaded[2] + combined_study.problems(study, source)
    place = source.place(("compare",))
    for name in study.compare:
        if find(name, folder).stem in (*asking, path.stem):
            problems.append(Problem("compare", f"{name} compares studies itself, this one among them", place))
    if problems:
        return None, problems
    members = build(study.compare, folder, overrides, (*asking, path.stem)).studies
    found, axes, baseline, points = combined_study.combine(study, members, place, "compare")
    planned = _planned_study(path, found, axes, baseline, points, overrides)
    return combined_study.with_answers(planned, members), combined_study.output_problems(found, axes, source)


def _with_ancestors(run: Run) -> list[Run]:
    """A run after all that it needs, its prepared data first."""
    return (
        [run.data, *(each for before in run.before for each in _with_ancestors(before)), run] if run.parent else [run]
    )


def _points(
    path: Path, folder: Path, loaded: Loaded, overrides: Mapping[str, Any], asking: tuple[str, ...]
) -> tuple[PlannedStudy, list[Problem]]:
    """A study of points of its own."""
    study = loaded[0]

    def other(name: str, **more: Any) -> PlannedStudy:
        found = find(name, folder)
        if found.stem in asking:
            raise Mistake(f"studies start from one another: {' → '.join((*asking, found.stem))}; name a run in one")
        (planned,) = build([name], folder, asking=asking, **more).studies.values()
        return planned

    def partly(configurations: Configured, first: int) -> PlannedStudy:
        points = _chains(study, configurations, [None] * len(configurations))
        return rungs.with_answers(_planned_study(path, study, (), None, points, overrides), first * study.times)

    selections = Selections(path.stem, partly, lambda name: other(name, overrides=overrides))
    rounds = Rounds(path.stem, partly)
    found = StudyPoints(loaded, overrides, StartingWeights(other), selections, rounds)
    points = _chains(found.study, found.configurations, found.smoke_runs)
    whole = _planned_study(path, found.study, found.axes, found.baseline, points, overrides, tuple(found.warnings))
    planned = rungs.with_answers(whole, found.first * found.study.times)
    return (
        replace(
            planned,
            answers=planned.answers + selections.answers + rounds.answers,
            pending=planned.pending or selections.pending or rounds.pending,
            changes=found.changes,
            rounds=found.rounds,
        ),
        found.problems,
    )


def _shared(studies: Mapping[str, PlannedStudy]) -> dict[str, dict[str, Run]]:
    found: dict[str, dict[str, Run]] = {stage: {} for stage in STAGES}
    for study in studies.values():
        # A question may be of runs of a study that was not asked for.
        needed = [run for run, _ in study.pending.needs] if study.pending else []
        for run in [
            *(run for point in study.points for run in point.all_runs),
            *itertools.chain(*map(_with_ancestors, needed)),
        ]:
            if found[run.stage].setdefault(run.name, run) != run:
                raise StudyError([Problem(run.name, "two runs share this id; change the seed of one")])
    return found


def _chains(study: Study, configurations: Configured, cut: Sequence[Settings | None]) -> tuple[Point, ...]:
    """The points of configurations with their repeats, those of one after another.

    Args:
        cut: the settings of every configuration's smoke run; None where it runs in full
    """
    points = []
    for (settings, labels), small in zip(configurations, cut, strict=True):
        for repeat in range(study.times):
            runs = chain(_stages(settings, study, repeat))
            if small is not None:
                runs = chain(_stages(small, study, repeat), full=runs)
            points.append(Point(labels, repeat, runs))
    return tuple(points)


def _planned_study(path: Path, study: Study, axes: tuple[str, ...], *rest: Any) -> PlannedStudy:
    # A smoke run leaves the pages of the full study alone.
    name = path.stem if study.scale == "full" else f"{path.stem}-{study.scale}"
    return PlannedStudy(name, str(path), study, axes, *rest)


def _stages(settings: Settings, study: Study, repeat: int) -> dict[str, Spec]:
    own: dict[str, Any] = {"seed": study.seed + repeat}
    if study.folds:
        drawn, fold = divmod(repeat, study.folds)
        split = Folds(folds=study.folds, fold=fold)
        dataset = settings.dataset
        own["dataset"] = dataset.model_copy(update={"split": split, "split_seed": dataset.split_seed + drawn})
    seeded = settings.model_copy(update=own)
    return {stage: seeded.stage(stage) for stage in seeded.stages(study.stages)}
