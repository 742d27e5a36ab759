"""The parameters that reports print of their networks, beside our own count: config/published/zoo_counts.csv."""

import csv
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from espalier.errors import Mistake

FILE = Path("config/published/zoo_counts.csv")
STATUSES = {
    "exact": "our network, built as described, has the count as printed",
    "fitted": "it has the count because one free setting was chosen so; no source confirms the setting",
    "inferred": "a network of another name or head has the count; that it is the one meant rests on the number alone",
    "rounded": "the report prints fewer digits, and ours agree",
    "approximate": "the report says about how many, and ours are within 5 %",
    "not reproduced": "the description does not give the count, or there is too little of it to build from",
    "no count": "the report prints none",
}
"""Status → what it means, as docs/zoo.md says it."""
REPORTS = {
    "lightweight-cnn-pruning": "Examining Lightweight Convolutional Neural Networks and the Efficacy of Pruning "
    "Methods",
    "resnet44-5m": "Deep Learning Project - 1",
    "cifar100-sweep": "Pipeline Report",
    "res24-5m": "Deep Learning - ResNet under 5 million Parameters",
    "mobilenetv2-compression": "CS6886 Systems Engineering for DL, Assignment 3",
}
"""Short name → title."""


class Published(NamedTuple):
    """A row; texts as they stand there, `model` and `prune` in YAML."""

    report: str
    name: str
    published_params: str
    model: str
    prune: str
    classes: int
    image_size: int
    params: int | None
    gmac: float | None
    status: str
    note: str


def read(path: Path = FILE) -> list[Published]:
    """The rows of the file in its order.

    Raises:
        Mistake: the file cannot be read, or a row holds what its column does not allow.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            lines = csv.DictReader(file)
            if tuple(lines.fieldnames or ()) != Published._fields:
                raise Mistake(f"{path}: the columns must be {', '.join(Published._fields)}")
            return [_row(f"{path}:{lines.line_num}", line) for line in lines]
    except OSError as error:
        raise Mistake(f"{path}: cannot be read ({error.strerror})") from error


def _row(place: str, line: dict[str, Any]) -> Published:
    if None in line or None in line.values():
        raise Mistake(f"{place}: has not one value for each column; quote values that hold a comma")
    for column, known in (("status", STATUSES), ("report", REPORTS)):
        if line[column] not in known:
            raise Mistake(f"{place}: {column} is {line[column]!r}; write one of {', '.join(known)}")
    try:
        return Published(**line)._replace(
            classes=int(line["classes"]),
            image_size=int(line["image_size"]),
            params=int(line["params"]) if line["params"] else None,
            gmac=float(line["gmac"]) if line["gmac"] else None,
        )
    except ValueError as error:
        raise Mistake(f"{place}: {error}; classes, image_size, params and gmac are numbers") from error


def document(rows: Iterable[Published]) -> str:
    """The rows in Markdown: what each status means, then a table for each report."""
    return "".join(_document(rows))


def _document(rows: Iterable[Published]) -> Iterator[str]:
    yield "| status | meaning |\n|---|---|\n"
    yield from (f"| {status} | {meaning} |\n" for status, meaning in STATUSES.items())
    for report, found in groupby(rows, key=lambda row: row.report):
        yield f"\n### {REPORTS[report]}\n\n"
        yield "| network | published | ours | GMACs | in a study | classes, side | status | note |\n"
        yield "|---|--:|--:|--:|---|---|---|---|\n"
        yield from (_line(row) for row in found)
    yield "\n"


def _line(row: Published) -> str:
    model = f"`{row.model}`" if row.model else "–"
    cells = (
        row.name,
        row.published_params or "–",
        "–" if row.params is None else f"{row.params:,}",
        "–" if row.gmac is None else f"{row.gmac:.4f}",
        f"{model}, `prune: {row.prune}`" if row.prune else model,
        f"{row.classes}, {row.image_size}",
        row.status,
        row.note,
    )
    return f"| {' | '.join(cells)} |\n"
