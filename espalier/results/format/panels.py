"""Tables that are wider or longer than their page, in parts that are not."""

import textwrap
from collections.abc import Callable, Iterator

from espalier.results.format.table import Table

WRAPPED = 30
"""Letters of a line, of names and sentences that are broken into several."""


def heads(table: Table) -> list[list[str]]:
    """The lines of every printed heading: as narrow as its cells and its longest word let it be."""
    found = []
    for place, head in enumerate(table.printed.columns):
        words = [word for line in head.split("\n") for word in line.replace(" (", "\n(").split("\n")]
        least = max(_longest(table, place, len), *(len(part) for word in words for part in word.split()))
        found.append([line for word in words for line in textwrap.wrap(word, least) or [""]])
    return found


def widths(table: Table, measured: Callable[[str], float], gap: float) -> list[float]:
    """The least width of every printed column.

    Args:
        measured: width of a line of text
        gap: what a column takes beside its text
    """
    found = []
    for place, head in enumerate(heads(table)):
        found.append(gap + max(_longest(table, place, measured), *map(measured, head)))
    return found


def _longest(table: Table, place: int, measured: Callable[[str], float]) -> float:
    """The width of the widest cell, broken into lines where it may be."""
    cells = table.printed.iloc[:, place]
    if table.said(place):
        cells = [line for cell in cells for line in textwrap.wrap(cell, WRAPPED)]
    return max(map(measured, cells), default=0)


def across(table: Table, each: list[float], most: float) -> Iterator[Table]:
    """The table in parts no wider than `most`, of all rows: each begins with the columns that name them.

    A column that is too wide alone has a part of its own.

    Args:
        each: width of every printed column
    """
    named = [*range(table.words)]
    room = most - sum(each[: table.words])
    part: list[int] = []
    for place in range(table.words, len(each)):
        if part and sum(each[other] for other in [*part, place]) > room:
            yield table.of_columns([*named, *part])
            part = []
        part.append(place)
    yield table.of_columns([*named, *part])


def down(table: Table, most: int) -> Iterator[Table]:
    """The table in parts of at most `most` rows, of all columns."""
    count = len(table.printed)
    parts = max(1, -(-count // most))
    for part in range(parts):
        yield table.of_rows(count * part // parts, count * (part + 1) // parts)
