"""The points of a study that samples a space or a grid: checks of its keys, the points drawn, a line for the plan."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from espalier.counted import counted
from espalier.plan import search_rounds
from espalier.plan.chain import Settings
from espalier.plan.grid import GridPoint, size
from espalier.plan.point_filters import Labels, Wrong, filter_points
from espalier.plan.space_draws import DrawnConfigurations, Resolve, SpaceDraws
from espalier.plan.study import Block, Study
from espalier.search import draws

Found = tuple[list[Settings], Wrong, Wrong]


def problems(study: Study, written: Mapping[str, Any]) -> Iterator[tuple[tuple, str, str]]:
    """Every (keys in the file, key path, message) of what has no clear meaning.

    Args:
        written: the study as its file has it, with keys that may be wrong
    """
    grid = {path for block in study.grid for axes in (block.product, block.zip, *block.points) for path in axes}
    for path in [path for path in study.space if path in grid]:
        yield ("space", path), f"space.{path}", "is an axis of grid too; keep one of them"
    for index in [index for index, block in enumerate(study.grid) if block.select and (study.space or study.sample)]:
        message = "would be drawn over; put it into a study of its own, with select: {study: …}"
        yield ("grid", index, "select"), f"grid.{index}.select", message
    if written.get("sample") is None:
        if study.space:
            yield ("space",), "space", "says nothing of how many points are drawn; add sample: {points: 64}"
    elif "space" not in written and "grid" not in written:
        yield ("sample",), "sample", "there is nothing to draw from; add space, or a grid"
    elif "space" not in written and study.sample and written["sample"].get("method") in ("sobol", "tpe", "gp"):
        message = "needs a space; a grid is taken in a random order: leave method out, or write its axes under space"
        yield ("sample", "method"), "sample.method", message
    if study.sample:
        yield from search_rounds.problems(study)


def choose_points(
    study: Study,
    expanded: Sequence[list[GridPoint]],
    resolve: Resolve,
    labels: Labels,
    asking: search_rounds.Rounds | None,
) -> Found:
    """Choose the points of a study: its whole grid, or a sample of its space or grid.

    Args:
        expanded: the points of each block of the grid
        resolve: points → their settings; it reports wrong points itself and leaves them out
        labels: the labels of a point
        asking: the rounds of a search whose later points depend on results; None leaves them unasked

    Returns:
        the settings of the points, in the order of the grid or of the draws; every mistake in conditions, budgets and
        pruning; and a message where fewer points are left than the study asks for

    Raises:
        Mistake: this version of scipy draws other points than the study drew before, or the metric of a search is
            ambiguous.
    """
    if study.sample and study.space:
        return _of_space(study, SpaceDraws(study, expanded, resolve, labels), asking)
    resolved = [resolve(points) for points in expanded]
    left, wrong = filter_points(study, resolved, labels)
    if study.sample is None or study.space:
        return left, wrong, []
    whole = set(left)
    order = draws.shuffled(list(dict.fromkeys(itertools.chain(*resolved))), study.sample.seed)
    found = [settings for settings in order if settings in whole][: study.sample.points]
    return found, wrong, _short(study, len(found), "the grid has")


def _of_space(study: Study, drawing: SpaceDraws, asking: search_rounds.Rounds | None) -> Found:
    """The points of the first draws of which conditions and budgets leave any, and of those that follow from their
    results."""
    sample, known = study.sample, None
    # A smoke run has no results to ask by: all of its points are drawn.
    if asking and sample.modelled and study.scale == "full":
        first, wrong, looked_at = drawing.first(sample.points)
        if wrong or not looked_at:
            return [], wrong, []
        known = asking.draws_so_far(study, first, drawing)
        if not asking.pending:
            return _flat(known), [], []
    # Points that a space does not have are told before the first training.
    found, wrong, looked_at = drawing.first(sample.total)
    left = counted(looked_at, "draw of the space leaves", "draws of the space leave")
    return _flat(found if known is None else known), wrong, _short(study, len(found), left) if looked_at else []


def _flat(found: Sequence[DrawnConfigurations]) -> list[Settings]:
    return list(dict.fromkeys(itertools.chain.from_iterable(each.settings for each in found)))


def _short(study: Study, found: int, left: str) -> Wrong:
    if found == study.sample.total:
        return []
    part = "space" if study.space else "grid"
    message = f"{study.sample.total:,} are asked for, and {left} {found:,}; ask for fewer, or widen {part}"
    return [(("sample", "points"), "sample.points", f"{message} or loosen exclude, when and constraints")]


def summary(study: Study, answers: Iterable[Mapping[str, Any]] = ()) -> str:
    """What part of what the points of a study are, e.g. ``64 of a space of 3 axes, sobol, seed 0``.

    Args:
        answers: to what the study has asked of results
    """
    if not (sample := study.sample):
        return ""
    grid = sum(map(size, study.grid or (Block(),)))
    if not study.space:
        return f"{sample.points} of a grid of {counted(grid, 'point')}, seed {sample.seed}"
    points, how = str(sample.total), sample.method
    if sample.modelled and study.scale != "full":
        how = f"sobol in place of {how}"
    elif sample.modelled:
        known = search_rounds.known_rounds(answers)
        points = f"{known * sample.points} of {points}"
        how = f"{how}, round {known} of {sample.rounds}"
    axes = counted(len(study.space), "axis", "axes")
    crossed = f", each with a grid of {grid:,} points" if grid > 1 else ""
    return f"{points} of a space of {axes}, {how}, seed {sample.seed}{crossed}"
