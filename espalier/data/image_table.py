"""A table that lists images with their classes, and perhaps their splits and groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from espalier.counted import counted
from espalier.data.folder_layout import ALL, SPLITS, split_called
from espalier.errors import DataError
from espalier.settings.problems import unknown

if TYPE_CHECKING:
    import pandas as pd

_LISTED = 5
_TEXT = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"}


@dataclass(frozen=True)
class ImageTable:
    """Rows of a table, split after split."""

    classes: tuple[str, ...]
    files: Mapping[str, Sequence[str]]
    """split → cells of the column of images; all → those of all rows, where the table names no splits"""
    labels: Mapping[str, Sequence[int]]
    """split → classes of these images"""
    groups: Sequence[int] | None
    """the number of each row's group, in the order of `files`"""
    group_names: tuple[str, ...] = ()
    """their names by number"""

    def counts(self) -> dict[str, list[int]]:
        """Split → images of each class."""
        return {
            split: [numbers.count(number) for number in range(len(self.classes))]
            for split, numbers in ((split, list(part)) for split, part in self.labels.items())
        }


def read(
    path: Path,
    *,
    image: str,
    label: str,
    split: str | None = None,
    splits: Mapping[str, Sequence[str]] | None = None,
    group: str | None = None,
) -> ImageTable:
    """Read a table of image files and labels: Parquet or TSV by its ending, else CSV.

    Args:
        image: name of the column of files
        label: name of the column of classes
        split: name of the column of splits
        splits: split → its names in that column
        group: name of the column of groups whose images must stay in one split

    Raises:
        DataError: the file is missing or no such table, a column is missing, a cell is empty, there is one class only,
            or a split is not known.
    """
    rows = _rows(path)
    for column in filter(None, (image, label, split, group)):
        if column not in rows.columns:
            raise DataError(unknown("column", column, map(str, rows.columns)))
        if len(empty := rows.index[rows[column].astype(str).str.strip() == ""]):
            # The first row of cells is line 2.
            lines = ", ".join(str(place + 2) for place in empty[:_LISTED])
            rows_have = counted(len(empty), "row has", "rows have")
            raise DataError(f"{rows_have} no {column}, the first in line {lines}; fill or remove them")
    names = _ordered(rows[label].astype(str).str.strip().unique())
    if len(names) < 2:
        raise DataError(f"the column {label} holds one class only, {names[0]}; a classifier needs two")
    numbers = rows[label].astype(str).str.strip().map({name: number for number, name in enumerate(names)})
    parts = {ALL: rows.index} if split is None else _parts(rows[split].astype(str).str.strip(), splits)
    order = [place for part in parts.values() for place in part]
    return ImageTable(
        names,
        {name: rows.loc[part, image].astype(str).tolist() for name, part in parts.items()},
        {name: numbers.loc[part].tolist() for name, part in parts.items()},
        *_groups(None if group is None else rows.loc[order, group]),
    )


def _groups(cells: "pd.Series | None") -> tuple[list[int] | None, tuple[str, ...]]:
    if cells is None:
        return None, ()
    numbers, names = cells.astype(str).factorize(sort=True)
    return numbers.tolist(), tuple(names)


def _rows(path: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pd.read_parquet(path).reset_index(drop=True)
        rows = pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",", **_TEXT)
        if len(rows.columns) == 1 and ";" in rows.columns[0]:
            # As spreadsheets write it where the comma is a decimal sign.
            rows = pd.read_csv(path, sep=";", **_TEXT)
    except FileNotFoundError:
        raise DataError("there is no such file") from None
    except ImportError:
        raise DataError("reading Parquet needs pyarrow; pip install pyarrow, or save it as CSV") from None
    except (OSError, ValueError) as error:
        raise DataError(f"no table that can be read ({' '.join(str(error).split())})") from None
    if rows.empty:
        raise DataError("the table has no rows")
    return rows


def _ordered(names: Sequence[str]) -> tuple[str, ...]:
    """Numbers by their size, other names by the alphabet."""
    if all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def _parts(cells: "pd.Series", splits: Mapping[str, Sequence[str]] | None) -> dict[str, "pd.Index"]:
    """Split → its rows."""
    called = {name: split for split, names in (splits or {}).items() for name in names}
    known = {cell: called.get(cell) if splits else split_called(cell) for cell in cells.unique()}
    if strange := [cell for cell, split in known.items() if split is None]:
        raise DataError(
            f"{', '.join(strange[:_LISTED])} in the column {cells.name} is no split that is known. Say which "
            "is which: splits: {train: NAME, validation: NAME, test: NAME}"
        )
    found = cells.map(known)
    parts = {split: cells.index[found == split] for split in SPLITS if (found == split).any()}
    if "train" not in parts or len(parts) < 2:
        raise DataError(f"the column {cells.name} needs train and test; leave it out to draw splits")
    return parts if "test" in parts else {"train": parts["train"], "test": parts["validation"]}
