"""Draws of a study's space, and the configurations that conditions and budgets leave of each."""

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from espalier.plan import limits
from espalier.plan.chain import Settings
from espalier.plan.grid import Change, GridPoint
from espalier.plan.point_filters import Labels, Wrong, filter_points
from espalier.plan.study import Study
from espalier.search import draws
from espalier.search.space import Distribution, Draw, at

Resolve = Callable[[list[GridPoint]], list[Settings]]
"""Points → their settings, without those of points that are wrong, which it tells."""


@dataclass(frozen=True)
class DrawnConfigurations:
    """One draw with its configurations, of which others may have some too."""

    draw: Draw
    settings: tuple[Settings, ...]


class SpaceDraws:
    """What is left of draws of one study.

    Args:
        expanded: the points of each block of the grid, with all of which each draw is run
        labels: the labels of a point
    """

    def __init__(self, study: Study, expanded: Sequence[list[GridPoint]], resolve: Resolve, labels: Labels):
        self._study, self._expanded, self._resolve, self.labels = study, expanded, resolve, labels
        self._known: dict[tuple, list[list[Settings]] | None] = {}

    def first(self, wanted: int) -> tuple[list[DrawnConfigurations], Wrong, int]:
        """Take the first `wanted` draws of the seed that keep at least one configuration; equal draws count once.

        More draws are looked at, up to a limit, until there are enough.

        Returns:
            the draws; every mistake in conditions and budgets; and how many draws were looked at, 0 where the settings
            of one of them are not valid

        Raises:
            Mistake: this version of scipy draws other points than the study drew before.
        """
        count, most = limits.draws(wanted, sum(map(len, self._expanded)))
        while True:
            found = self._seeded(count)
            # Other draws would say the same of other numbers.
            if any(self._settings(draw) is None for draw in found):
                return [], [], 0
            whole, wrong = self._filtered(found)
            fresh = first_new(whole, (), wanted)
            if len(fresh) == wanted or count == most:
                return fresh, wrong, count
            more = math.ceil((wanted - len(fresh)) * count / max(len(fresh), 1))
            count = min(most, count + min(count, more))

    def filtered(self, found: Sequence[Draw]) -> list[DrawnConfigurations]:
        """Each draw with the configurations that conditions and budgets keep; none if its settings are not valid."""
        return self._filtered(found)[0]

    def _filtered(self, found: Sequence[Draw]) -> tuple[list[DrawnConfigurations], Wrong]:
        of = [self._settings(draw) or [[] for _ in self._expanded] for draw in found]
        blocks = [list(itertools.chain(*block)) for block in zip(*of, strict=True)] or [[] for _ in self._expanded]
        left, wrong = filter_points(self._study, blocks, self.labels)
        whole = set(left)
        own = [tuple(each for each in dict.fromkeys(itertools.chain(*blocks)) if each in whole) for blocks in of]
        return [DrawnConfigurations(draw, settings) for draw, settings in zip(found, own, strict=True)], wrong

    def _settings(self, draw: Draw) -> list[list[Settings]] | None:
        """The settings of a draw with the points of each block; None of one that cannot be run."""
        key = tuple(draw.items())
        if key not in self._known:
            changes = {path: _change(path, axis, draw[path]) for path, axis in self._study.space.items()}
            found = [self._resolve([{**point, **changes} for point in points]) for points in self._expanded]
            short = any(len(own) < len(points) for own, points in zip(found, self._expanded, strict=True))
            self._known[key] = None if short else found
        return self._known[key]

    def _seeded(self, count: int) -> list[Draw]:
        """The first draws that the seed gives."""
        space, sample = self._study.space, self._study.sample
        method = "random" if sample.method == "random" else "sobol"
        return [
            {path: at(axis, share) for (path, axis), share in zip(space.items(), point, strict=True)}
            for point in draws.shares(len(space), count, sample.seed, method)
        ]


def first_new(
    found: Iterable[DrawnConfigurations], before: Collection[Settings], most: int
) -> list[DrawnConfigurations]:
    """The first draws that have a configuration which neither `before` nor a draw ahead of them has."""
    seen, fresh = set(before), []
    for each in found:
        if len(fresh) < most and not seen.issuperset(each.settings):
            fresh.append(each)
            seen.update(each.settings)
    return fresh


def _change(path: str, axis: Distribution | Mapping[str, Any], drawn: float | int) -> Change:
    where = ("space", path)
    if isinstance(axis, Distribution):
        return Change(drawn, None, where)
    name = list(axis)[drawn]
    return Change(axis[name], None if name.startswith("\0") else name, (*where, name))
