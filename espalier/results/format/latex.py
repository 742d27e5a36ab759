"""A table for a paper: no wider than the text, numbers aligned at their points, a short caption.

For booktabs and siunitx. What is wider than the text or longer than a page comes in parts, each a table of its own.
"""

import re
import textwrap

from espalier.results.format.numbers import MISSING
from espalier.results.format.panels import across, down, heads, widths
from espalier.results.format.table import Table
from espalier.results.format.templates import template

_TEXT = 345.0
"""Width in points of the text of the class article at 10 pt, the narrowest usual one."""
_COLUMN = 229.0
"""Likewise of a column of two."""
_LINES = 40
"""Of a part, beside its caption and headings."""
_WRAPPED = 20
"""Letters of a line of names and sentences."""
_GAP = 6.0
"""Width in points between columns."""
_LETTERS = "&%$#_{}"
_SIGNS = {"±": r"$\pm$", "×": r"$\times$", "–": "--", "−": "$-$", "…": r"\ldots{}", "“": "``", "”": "''"}
_SIGNS |= {"†": r"$\dagger$"} | {letter: f"\\{letter}" for letter in _LETTERS}
_SIGNS |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_SIGNS |= {"[": "{[}", "<": r"\textless{}", ">": r"\textgreater{}"}
_NUMBER = re.compile(r"([+−]?)([\d,]+)(?:\.(\d+))?(?: ± (\d+)(?:\.\d+)?)?")


def latex(table: Table, key: str) -> str:
    """One or more environments `table`, or `table*` where it is wider than a column of two, in the manner of booktabs.

    Args:
        key: of the label `tab:<key>`; later parts have a number behind it
    """
    each = widths(table, _measured, _GAP, _WRAPPED)
    parts = [part for panel in across(table, each, _TEXT) for part in down(panel, _LINES, _WRAPPED)]
    caption = table.caption
    return template("table.tex").render(
        comments=textwrap.wrap(caption.notes, 118),
        environment="table"
        if max(sum(widths(part, _measured, _GAP, _WRAPPED)) for part in parts) <= _COLUMN
        else "table*",
        title=escaped(caption.title),
        parts=[_part(part, key, number, len(parts)) for number, part in enumerate(parts, 1)],
    )


def _part(table: Table, key: str, number: int, count: int) -> dict:
    caption = escaped(table.caption.short())
    if count > 1:
        caption = f"{escaped(table.caption.title)} (part {number} of {count})." if number > 1 else caption
    columns = [_column(table, place) for place in range(table.printed.shape[1])]
    rows = [
        [_cell(cell, columns[place], table.is_bold(row, place)) for place, cell in enumerate(each)]
        for row, each in enumerate(table.printed.itertuples(index=False))
    ]
    found = heads(table, _WRAPPED)
    height = max(map(len, found), default=1)
    lines = zip(*([""] * (height - len(head)) + head for head in found), strict=True)
    return {
        "caption": caption,
        "label": key if number == 1 else f"{key}-{number}",
        "columns": columns,
        "heads": [[_head(cell, column) for cell, column in zip(line, columns, strict=True)] for line in lines],
        "rows": rows or [[rf"\multicolumn{{{len(columns)}}}{{@{{}}l@{{}}}}{{No finished run yet.}}"]],
    }


def _column(table: Table, place: int) -> str:
    """The letter of a column: of texts, of numbers with their format, or of what only looks like numbers."""
    cells = table.printed.iloc[:, place].tolist()
    if table.said(place):
        broken = any(len(cell) > _WRAPPED for cell in cells)
        wide = widths(table, _measured, 0, _WRAPPED)[place]
        return rf">{{\raggedright\arraybackslash}}p{{{wide:.0f}pt}}" if broken else "l"
    found = [_NUMBER.fullmatch(cell) for cell in cells if cell not in ("", MISSING)]
    if not found or not all(found):
        return "r"
    sign = "+" if any(each[1] for each in found) else ""
    whole = max(len(each[2].replace(",", "")) for each in found)
    parts = max(len(each[3] or "") for each in found)
    spread = max((len(each[4]) + parts for each in found if each[4]), default=0)
    return f"S[table-format={sign}{whole}{f'.{parts}' if parts else ''}{f'({spread})' if spread else ''}]"


def _head(text: str, column: str) -> str:
    # Braces keep siunitx from reading it as a number.
    return f"{{{escaped(text)}}}" if column.startswith("S") else escaped(text)


def _cell(text: str, column: str, bold: bool) -> str:
    if not column.startswith("S"):
        return rf"\textbf{{{escaped(text)}}}" if bold else escaped(text)
    if not _NUMBER.fullmatch(text):
        return f"{{{escaped(text)}}}"
    number = text.replace(",", "").replace("−", "-").replace("±", r"\pm")
    return rf"\bfseries {number}" if bold else number


def escaped(text: str) -> str:
    """Text with every character that LaTeX would read as a command made a letter."""
    return "".join(_SIGNS.get(letter, letter) for letter in text)


def _measured(text: str) -> float:
    """Points that a line takes in Computer Modern at 8 pt."""
    return sum(map(_letter, text))


def _letter(letter: str) -> float:
    if letter in "ijl.,:;'!|":
        return 2.4
    if letter in "tfrsI()[]- ":
        return 3.3
    if letter in "mMW%±×−":
        return 7.1
    return 6.3 if letter.isupper() or letter == "w" else 4.4
