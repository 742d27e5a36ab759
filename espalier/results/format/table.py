"""A table in its two forms, unrounded numbers and printed words, and the one writer of its four files."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from espalier.files import write_text
from espalier.results.format.templates import page as templated
from espalier.results.format.templates import template

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Table:
    """Rows and columns with two readings of the same cells."""

    data: "pd.DataFrame"
    """unrounded numeric columns, as the CSV has them"""
    printed: "pd.DataFrame"
    """text as people read it, headings with units"""
    caption: str = ""
    """what is shown; who asks for the table puts it in"""
    words: int = 0
    """leading printed columns that hold words; the others hold numbers and stand to the right"""
    bold: Mapping[str, Sequence[bool]] = field(default_factory=dict)
    """printed heading → which of its cells are bold"""

    def is_bold(self, row: int, column: int) -> bool:
        """Whether a printed cell is bold."""
        flags = self.bold.get(self.printed.columns[column])
        return bool(flags is not None and flags[row])


FORMATS = ("csv", "md", "tex", "html")
_LATEX = {"±": r"$\pm$", "×": r"$\times$", "–": "--", "−": "$-$", "…": r"\ldots{}", "“": "``", "”": "''"}
_LATEX |= {"†": r"$\dagger$"}
_LATEX_SPECIAL = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


_FORMULA = ("=", "+", "-", "@")


def write(folder: Path, key: str, table: Table) -> None:
    """Write <key>.csv, .md, .tex and .html into `folder`."""
    texts = (csv(table), markdown(table), latex(table, key), page(table, key))
    for suffix, text in zip(FORMATS, texts, strict=True):
        write_text(Path(folder) / f"{key}.{suffix}", text)


def csv(table: Table) -> str:
    """The unrounded numbers."""
    return harmless(table.data).to_csv(index=False, lineterminator="\n")


def harmless(data: "pd.DataFrame") -> "pd.DataFrame":
    """A frame whose texts no spreadsheet takes for formulas: those that would be begin with an apostrophe."""
    texts = data.select_dtypes(exclude=["number", "bool"]).columns
    return data.assign(**{name: data[name].map(_no_formula) for name in texts}) if len(texts) else data


def _no_formula(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) and not _number(cell) else cell


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def markdown(table: Table) -> str:
    """A pipe table, its caption below."""
    return _filled("table.md", table, _markdown_escaped, "**{}**")


def latex(table: Table, key: str) -> str:
    """A `table` environment in the manner of booktabs."""
    return _filled("table.tex", table, latex_escaped, r"\textbf{{{}}}", key=key)


def html(table: Table, caption: str) -> str:
    """The bare <table> and a caption, for a page that has a style."""
    return template("table.html").render(table=table, rows=table.printed.itertuples(index=False), caption=caption)


def page(table: Table, key: str) -> str:
    """The table as a page of its own, without any request."""
    return templated("table_page.html", key=key, table=html(table, table.caption))


def latex_escaped(text: str) -> str:
    """Text with every character that LaTeX would read as a command made a letter."""
    return "".join(_LATEX_SPECIAL.get(letter) or _LATEX.get(letter) or letter for letter in text)


def _markdown_escaped(text: str) -> str:
    # An underscore inside a word is no emphasis, and reads better in a terminal as it is.
    return re.sub(r"([\\`*\[\]|<>]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text).replace("\n", " ")


def _filled(name: str, table: Table, escape: Callable[[str], str], bold: str, **words: str) -> str:
    heads = [escape(head) for head in table.printed.columns]
    rows = [
        [bold.format(escape(cell)) if table.is_bold(index, place) else escape(cell) for place, cell in enumerate(row)]
        for index, row in enumerate(table.printed.itertuples(index=False))
    ]
    widths = [max(3, *map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [[_padded(cell, widths, index, table) for index, cell in enumerate(row)] for row in [heads, *rows]]
    text = template(name).render(lines=lines, widths=widths, words=table.words, caption=escape(table.caption), **words)
    return text + "\n"


def _padded(cell: str, widths: list[int], index: int, table: Table) -> str:
    return cell.ljust(widths[index]) if index < table.words else cell.rjust(widths[index])


def of(
    data: "pd.DataFrame",
    printed: Mapping[str, list[str]],
    words: int,
    bold: Mapping[str, Sequence[bool]] | None = None,
) -> Table:
    """A table from its numbers and its printed columns, heading → cells, of which the first `words` hold words."""
    import pandas as pd

    return Table(data, pd.DataFrame(printed, dtype=object), words=words, bold=bold or {})
