"""A table in its two forms, unrounded numbers for programs and printed words for people."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from espalier.results.format.captions import Caption

if TYPE_CHECKING:
    import pandas as pd

_NONE = Caption("")
_SAID = re.compile(r"[^\W\d_]{4}")
"""What a number with its unit does not hold."""


@dataclass(frozen=True)
class Table:
    """Rows and columns with two readings of the same cells."""

    data: "pd.DataFrame"
    """unrounded numeric columns, as the CSV has them"""
    printed: "pd.DataFrame"
    """text as people read it, headings with units"""
    caption: Caption = _NONE
    """what is shown; who asks for the table puts it in"""
    words: int = 0
    """leading printed columns that name a row; they stand to the left"""
    bold: Mapping[str, Sequence[bool]] = field(default_factory=dict)
    """printed heading → which of its cells are bold"""
    matrix: bool = False
    """whether columns are things compared, like rows, so that one of equal cells says something"""
    asked_for: Mapping[str, str] = field(default_factory=dict)
    """printed heading → what the caption says of it, of columns that are printed only where a study names them"""

    def is_bold(self, row: int, column: int) -> bool:
        """Whether a printed cell is bold."""
        flags = self.bold.get(self.printed.columns[column])
        return bool(flags is not None and flags[row])

    def said(self, column: int) -> bool:
        """Whether a printed column holds sentences or names, which stand to the left and may be broken into lines."""
        return column < self.words or any(_SAID.search(cell) for cell in self.printed.iloc[:, column])

    def of_columns(self, places: Iterable[int]) -> "Table":
        """The same with some of its printed columns, in their order; places count from 0."""
        kept = [*places]
        return replace(self, printed=self.printed.iloc[:, kept], words=sum(place < self.words for place in kept))

    def of_rows(self, first: int, last: int) -> "Table":
        """The same with some of its printed rows, `last` not among them."""
        bold = {head: flags[first:last] for head, flags in self.bold.items()}
        return replace(self, printed=self.printed.iloc[first:last], bold=bold)


def table_of(
    data: "pd.DataFrame",
    printed: Mapping[str, list[str]],
    words: int,
    bold: Mapping[str, Sequence[bool]] | None = None,
    matrix: bool = False,
    asked_for: Mapping[str, str] | None = None,
) -> Table:
    """A table from its numbers and its printed columns, heading → cells, of which the first `words` name a row."""
    import pandas as pd

    cells = pd.DataFrame(printed, dtype=object)
    return Table(data, cells, words=words, bold=bold or {}, matrix=matrix, asked_for=asked_for or {})
