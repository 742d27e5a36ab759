"""Numbers that others have published, as config/published/ holds them, and which points of a study they are of.

A CSV has a row a published result. A column with the name of an axis (its whole key path, or its last part where only
one axis ends so) says which configurations the row is of, by label or value; an empty cell there is a chain that has
no such setting. The other columns hold the published numbers. sources.csv says where each file comes from.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

from espalier.errors import Mistake
from espalier.settings.problems import unknown

FOLDER = Path("config/published")
SOURCES = "sources.csv"
WIDTHS = ("weight_bits", "activation_bits")
"""Columns that name a setting of the grid of one quantization, where they are no axes."""


class Source(NamedTuple):
    """Where published numbers stand, and what their accuracy is of."""

    file: str
    title: str
    place: str
    accuracy: str


def path(file: str) -> Path:
    """The CSV of published numbers of this name."""
    return FOLDER / f"{file}.csv"


def paths(asked: Iterable[Mapping[str, Any]]) -> list[Path]:
    """The files that tables `published`, and figures with a setting of that name, read."""
    files = (item["file"] if item["name"] == "published" else item.get("published") for item in asked)
    found = [path(file) for file in files if file]
    return [*dict.fromkeys([*found, FOLDER / SOURCES])] if found else []


def rows(file: str) -> list[dict[str, str]]:
    """The published rows, as texts.

    Raises:
        Mistake: there is no such file, or one of its rows has not one value for each column.
    """
    if not path(file).is_file():
        known = (found.stem for found in FOLDER.glob("*.csv") if found.name != SOURCES)
        raise Mistake(f"{FOLDER}: {unknown('file', file, known)}")
    return _read(path(file))


def source(file: str) -> Source:
    """Where the numbers of a file come from.

    Raises:
        Mistake: sources.csv does not say.
    """
    place = FOLDER / SOURCES
    lines = _read(place)
    if lines and tuple(lines[0]) != Source._fields:
        raise Mistake(f"{place}: the columns must be {', '.join(Source._fields)}")
    found = next((Source(**line) for line in lines if line["file"] == file), None)
    if found is None:
        raise Mistake(f"{place}: has no row for {file!r}; write where its numbers come from")
    return found


def keys(header: Iterable[str], axes: Sequence[str]) -> dict[str, str]:
    """Column → the axis that it names."""
    found = {}
    for column in header:
        ending = [axis for axis in axes if axis.rpartition(".")[2] == column]
        if column in axes or len(ending) == 1:
            found[column] = column if column in axes else ending[0]
    return found


def meets(cell: str, label: str) -> bool:
    """Whether a cell of an axis names what bears this label: the same text, or the same number."""
    if not cell:
        return label in ("–", "none")
    try:
        return float(cell) == float(label)
    except ValueError:
        return cell == label


def misfit(file: str, value: str, axes: Sequence[str]) -> str | None:
    """What is wrong with a wish for the column `value` of a file in a study with these axes; None if nothing is."""
    try:
        found = rows(file)
        source(file)
    except Mistake as error:
        return str(error)
    header = list(found[0]) if found else []
    named = keys(header, axes)
    if value not in header or value in named:
        return unknown(f"column of {path(file)}", value, (column for column in header if column not in named))
    if not named and not set(WIDTHS) <= set(header):
        return f"{path(file)} has no column that is named as an axis of the study ({', '.join(axes) or 'it has none'})"
    for number, row in enumerate(found, 2):
        try:
            float(row[value] or 0)
        except ValueError:
            return f"{path(file)}:{number}: {value} is {row[value]!r}, which is no number"
    return None


class Point(NamedTuple):
    """A published result in a figure of accuracy against cost."""

    name: str
    cost: float
    """in ones, bytes or seconds"""
    top1: float
    """in percent"""


def points(file: str, cost: str) -> list[Point]:
    """The rows of a file that tell both the column `cost` and `top1_pct`.

    Raises:
        Mistake: there is no such file, source or column, or a cell is no number.
    """
    found = rows(file)
    source(file)
    header = list(found[0]) if found else []
    for column in ("name", cost, "top1_pct"):
        if column not in header:
            raise Mistake(f"{path(file)} has no column {column}, by which its rows are drawn")
    usable = []
    for number, row in enumerate(found, 2):
        try:
            point = Point(row["name"], float(row[cost] or "nan"), float(row["top1_pct"] or "nan"))
        except ValueError:
            raise Mistake(f"{path(file)}:{number}: {cost} and top1_pct must be numbers or empty") from None
        if not (isnan(point.cost) or isnan(point.top1)):
            usable.append(point)
    return usable


def _read(place: Path) -> list[dict[str, str]]:
    try:
        with place.open(newline="", encoding="utf-8") as file:
            lines = csv.DictReader(file)
            found = []
            for line in lines:
                if None in line or None in line.values():
                    message = "has not one value for each column; quote values that hold a comma"
                    raise Mistake(f"{place}:{lines.line_num}: {message}")
                found.append(line)
            return found
    except (OSError, ValueError, csv.Error) as error:
        raise Mistake(f"{place}: cannot be read ({error})") from error
