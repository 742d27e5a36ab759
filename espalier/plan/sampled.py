"""The sample that a study asks for: what may not be said together, the points drawn, and what the plan says of it."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from espalier.plan import limits
from espalier.plan.chain import Settings
from espalier.plan.grid import Change, GridPoint, size
from espalier.plan.kept import Labels, Wrong, kept
from espalier.plan.study import Block, Study
from espalier.search import draws
from espalier.search.space import Distribution

Resolve = Callable[[list[GridPoint]], list[Settings]]
Found = tuple[list[Settings], Wrong, Wrong]


def unclear(study: Study, written: Mapping[str, Any]) -> Iterator[tuple[tuple, str, str]]:
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
    elif "space" not in written and study.sample and written["sample"].get("method") == "sobol":
        message = "needs a space; a grid is taken in a random order: leave method out, or write its axes under space"
        yield ("sample", "method"), "sample.method", message


def chosen(study: Study, expanded: Sequence[list[GridPoint]], resolve: Resolve, labels: Labels) -> Found:
    """The points of a study, in the order of its grid or as they are drawn, every mistake in what leaves them, and what
    is said of a study without mistakes that leaves too few.

    Args:
        expanded: the points of each block of the grid
        resolve: points → their settings, without those of points that are wrong, which it tells
        labels: the labels of a point

    Raises:
        Mistake: this scipy draws other points than were drawn before.
    """
    if study.sample and study.space:
        return _of_space(study, expanded, resolve, labels)
    resolved = [resolve(points) for points in expanded]
    left, wrong = kept(study, resolved, labels)
    if study.sample is None or study.space:
        return left, wrong, []
    whole = set(left)
    order = draws.shuffled(list(dict.fromkeys(itertools.chain(*resolved))), study.sample.seed)
    found = [settings for settings in order if settings in whole][: study.sample.points]
    return found, wrong, _short(study, len(found), "the grid has")


def _of_space(study: Study, expanded: Sequence[list[GridPoint]], resolve: Resolve, labels: Labels) -> Found:
    """The points of the first draws of which conditions and budgets leave any, two that are the same counted once."""
    wanted, done = study.sample.points, 0
    count, most = limits.draws(wanted, sum(map(len, expanded)))
    resolved: list[list[Settings]] = [[] for _ in expanded]
    owners: dict[Settings, int] = {}
    while True:
        for number, draw in enumerate(_draws(study, count)[done:], done):
            for ours, points in zip(resolved, expanded, strict=True):
                found = resolve([{**changes, **draw} for changes in points])
                ours += found
                for settings in found:
                    owners.setdefault(settings, number)
                if len(found) < len(points):
                    # Other draws would say the same of other numbers.
                    return [], [], []
        left, wrong = kept(study, resolved, labels)
        numbers = set(sorted({owners[settings] for settings in left})[:wanted])
        if len(numbers) == wanted or count == most:
            break
        more = math.ceil((wanted - len(numbers)) * count / max(len(numbers), 1))
        done, count = count, min(most, count + min(count, more))
    drawn = sorted((settings for settings in left if owners[settings] in numbers), key=owners.__getitem__)
    return drawn, wrong, _short(study, len(numbers), f"{count:,} draws of the space leave")


def _draws(study: Study, count: int) -> list[GridPoint]:
    """The first points that are drawn from the space of a study."""
    shares = draws.shares(len(study.space), count, study.sample.seed, study.sample.method)
    return [
        {path: _change(path, axis, share) for (path, axis), share in zip(study.space.items(), point, strict=True)}
        for point in shares
    ]


def _change(path: str, axis: Distribution | dict[str, Any], share: float) -> Change:
    where = ("space", path)
    if isinstance(axis, Distribution):
        return Change(axis.at(share), None, where)
    name = list(axis)[int(share * len(axis))]
    return Change(axis[name], None if name.startswith("\0") else name, (*where, name))


def _short(study: Study, found: int, left: str) -> Wrong:
    if found == study.sample.points:
        return []
    part = "space" if study.space else "grid"
    message = f"{study.sample.points:,} are asked for, and {left} {found:,}; ask for fewer, or widen {part}"
    return [(("sample", "points"), "sample.points", f"{message} or loosen exclude, when and constraints")]


def told(study: Study) -> str:
    """What part of what the points of a study are, e.g. ``64 of a space of 3 axes, sobol, seed 0``."""
    if not study.sample:
        return ""
    grid = sum(map(size, study.grid or (Block(),)))
    if not study.space:
        return f"{study.sample.points} of a grid of {grid:,} points, seed {study.sample.seed}"
    axes = f"{len(study.space)} {'axis' if len(study.space) == 1 else 'axes'}"
    crossed = f", each with a grid of {grid:,} points" if grid > 1 else ""
    return f"{study.sample.points} of a space of {axes}, {study.sample.method}, seed {study.sample.seed}{crossed}"
