"""The files of a table: CSV, Markdown, LaTeX and HTML."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from espalier.files import write_text
from espalier.results.format.latex import latex
from espalier.results.format.panels import across, widths
from espalier.results.format.table import Table
from espalier.results.format.templates import page as templated
from espalier.results.format.templates import template

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("csv", "md", "tex", "html")
_FORMULA = ("=", "+", "-", "@")
_WIDEST, _GAP, _WRAPPED = 148, 2, 30
"""Letters that a page has room for beside its contents, those that a column takes beside its text, and those of a line
of names and sentences."""


def write(folder: Path, key: str, table: Table) -> None:
    """Write <key>.csv, .md, .tex and .html into `folder`."""
    texts = (csv(table), markdown(table), latex(table, key), page(table))
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
    heads = [_markdown_escaped(head) for head in table.printed.columns]
    rows = [
        [("**{}**" if table.is_bold(row, place) else "{}").format(_markdown_escaped(cell)) for place, cell in each]
        for row, each in enumerate(map(enumerate, table.printed.itertuples(index=False)))
    ]
    widths = [max(3, *map(len, column)) for column in zip(heads, *rows, strict=True)]
    left = [table.said(place) for place in range(len(heads))]
    lines = [
        [cell.ljust(width) if said else cell.rjust(width) for cell, width, said in zip(line, widths, left, strict=True)]
        for line in [heads, *rows]
    ]
    caption = table.caption
    paragraphs = [_markdown_escaped(text) for text in (caption.short(), caption.notes) if text]
    return template("table.md").render(lines=lines, widths=widths, left=left, paragraphs=paragraphs) + "\n"


def html(table: Table) -> str:
    """The bare <table> with its caption, for a page that has a style and a heading with the title."""
    parts = [*across(table, widths(table, len, _GAP, _WRAPPED), _WIDEST)]
    return template("table.html").render(table=table, parts=parts, wrapped=_WRAPPED)


def page(table: Table) -> str:
    """The table as a page of its own, without any request."""
    return templated("table_page.html", title=table.caption.title, table=html(table))


def _markdown_escaped(text: str) -> str:
    # An underscore inside a word is no emphasis, and reads better in a terminal as it is.
    return re.sub(r"([\\`*\[\]|<>]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text).replace("\n", " ")
