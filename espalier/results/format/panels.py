"""Tables that are wider or longer than their page, in parts that are not."""

import textwrap
from collections.abc import Callable, Iterator

from espalier.results.format.table import Table


def heads(table: Table, wrapped: int) -> list[list[str]]:
    """The lines of every printed heading: as narrow as its cells and its longest word let it be.

    Args:
        wrapped: letters of a line, of names and sentences that are broken into several
    """
    found = []
    for place, head in enumerate(table.printed.columns):
        words = [word for line in head.split("\n") for word in line.replace(" (", "\n(").split("\n")]
        least = max(_longest(table, place, len, wrapped), *(len(part) for word in words for part in word.split()))
        found.append([line for word in words for line in textwrap.wrap(word, least) or [""]])
    return found


def widths(table: Table, measured: Callable[[str], float], gap: float, wrapped: int) -> list[float]:
    """The least width of every printed column.

    Args:
        measured: width of a line of text
        gap: what a column takes beside its text
        wrapped: letters of a line, of names and sentences that are broken into several
    """
    found = []
    for place, head in enumerate(heads(table, wrapped)):
        found.append(gap + max(_longest(table, place, measured, wrapped), *map(measured, head)))
    return found


def _longest(table: Table, place: int, measured: Callable[[str], float], wrapped: int) -> float:
    """The width of the widest cell, broken into lines where it may be."""
    cells = table.printed.iloc[:, place]
    if table.said(place):
        cells = [line for cell in cells for line in textwrap.wrap(cell, wrapped, break_long_words=False)]
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


def down(table: Table, most: int, wrapped: int) -> Iterator[Table]:
    """The table in parts of at most `most` lines, of all columns.

    Args:
        wrapped: letters of a line, of names and sentences that are broken into several
    """
    said = [place for place in range(table.printed.shape[1]) if table.said(place)]
    first = lines = 0
    for row, cells in enumerate(table.printed.itertuples(index=False)):
        here = max((len(textwrap.wrap(cells[place], wrapped, break_long_words=False)) for place in said), default=1)
        if row > first and lines + here > most:
            yield table.of_rows(first, row)
            first, lines = row, 0
        lines += here
    yield table.of_rows(first, len(table.printed))
