"""How large a study may be."""

from collections.abc import Sequence

from espalier.counted import counted
from espalier.plan.grid import size
from espalier.plan.study import Block, Study

CHAINS = 100_000
"""The most that a study may have, before `exclude`, `when` and budgets take some away: a plan of more takes longer than
a quarter of an hour, and more memory than most machines have."""
_DRAWS, _MANY_DRAWS = (100, 10), 10_000
"""Draws for each point of a space that is wanted, at most: of few points, and where that makes so many in all."""
_FIRST = 16
"""Draws of a space, at least: fewer may have no point that has some key of a condition."""


def too_many(study: Study, blocks: Sequence[Block]) -> tuple[tuple, str, str] | None:
    """(Keys in the file, key path, message) of a study with more chains than a plan can hold."""
    points, key = sum(map(size, blocks)), "grid"
    if study.sample and (study.space or points <= CHAINS):
        points, key = study.sample.total * (points if study.space else 1), "sample"
    if points * study.times <= CHAINS:
        return None
    key = key if points > CHAINS else "repeats"
    mend = "or draw from a space" if study.sample and key == "grid" else "or several studies"
    return (
        (key,),
        key,
        (
            f"{counted(points, 'point')} × {counted(study.times, 'repeat')} are more than the {CHAINS:,} chains that a "
            f"plan holds; make it smaller, {mend} (docs/scale.md)"
        ),
    )


def draws(wanted: int, beside: int) -> tuple[int, int]:
    """How many draws of a space are looked at first, and at most.

    Args:
        wanted: points that are to be left
        beside: points of the grid that each is run with
    """
    few, many = _DRAWS
    most = max(wanted, min(max(many * wanted, min(few * wanted, _MANY_DRAWS)), CHAINS // max(beside, 1)))
    return min(max(wanted, _FIRST), most), most
