"""Chooses the columns of a table that are printed: those that a study names, or those whose values vary."""

import re
from dataclasses import replace

from espalier.errors import Mistake
from espalier.results.format.numbers import MISSING
from espalier.results.format.table import Table

_ALWAYS = "top-1"
"""An accuracy is printed although all rows have the same."""
_COUNT = "n"


def varying_columns(table: Table) -> Table:
    """The table without columns that are the same in every row; its caption gives their values once.

    Columns that are printed only if a study names them are left out too.
    """
    table = table.of_columns(place for place, head in enumerate(table.printed) if head not in table.asked_for)
    if len(table.printed) < 2 or table.matrix:
        return table
    same = {
        place: cells.iloc[0]
        for place, (head, cells) in enumerate(table.printed.items())
        if cells.nunique() == 1 and (place < table.words or _is_number(table, place, head))
    }
    # Keep at least one column of names, which tells rows apart, and numbers if all of them are missing or zero.
    if all(place in same for place in range(table.words)):
        same.pop(0, None)
    if all(same.get(place) in ("", MISSING, "0") for place in range(table.words, table.printed.shape[1])):
        return table
    heads = table.printed.columns
    said = {heads[place]: cell for place, cell in same.items() if cell not in ("", MISSING)}
    count = said.pop(_COUNT, "")
    caption = table.caption.with_text(f"n = {count}." if count else "")
    caption = caption.with_notes(
        f"The same in every row: {', '.join(f'{head} {cell}' for head, cell in said.items())}." if said else ""
    )
    kept = [place for place in range(len(heads)) if place not in same]
    return replace(table.of_columns(kept), caption=caption)


def _is_number(table: Table, place: int, head: str) -> bool:
    return not table.said(place) and _ALWAYS not in head.lower()


def select_columns(table: Table, headings: tuple[str, ...]) -> Table:
    """The table with the columns that name its rows, and those under the given headings, in their order; its caption
    defines what not every reader knows.

    Args:
        headings: with or without units; capitals do not matter

    Raises:
        Mistake: no column has such a heading.
    """
    places = {bare(head): place for place, head in enumerate(table.printed.columns)}
    if absent := [head for head in headings if bare(head) not in places]:
        known = ", ".join(places)
        raise Mistake(f"columns: no column is headed {', '.join(map(repr, absent))}; there are {known}")
    named = [*range(table.words)]
    asked = [places[bare(head)] for head in headings]
    found = table.of_columns([*named, *(place for place in dict.fromkeys(asked) if place not in named)])
    notes = dict.fromkeys(table.asked_for[head] for head in found.printed if head in table.asked_for)
    return replace(found, caption=found.caption.with_notes(*notes))


def bare(head: str) -> str:
    """A heading without its unit and mark, in lower case."""
    return re.sub(r"\s*(\(.*\))?\s*\*?\s*$", "", " ".join(head.split())).lower()
