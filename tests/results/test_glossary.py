"""The glossary explains every heading that a table prints."""

import re
from pathlib import Path

import pytest

from espalier.results.format.printed_columns import bare
from support import compressed_on_disk as compressed
from support import measured_on_disk as measured
from support import study_on_disk as disk
from support.made_results import made

PAGE = Path(__file__).parents[2] / "docs/glossary.md"
WIDTH = re.compile(r" (\d+|float)$")
"""What tells the columns of a map of widths apart."""


def explained() -> set[str]:
    """First cells of the glossary's rows in lower case, and the parts of a cell that names several."""
    cells = re.findall(r"^\| ([^|]+?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {part.lower() for cell in cells for part in (cell, *re.split(r"; |, (?=Test)", cell))}


def trained(root):
    study = disk.plan(disk.product())
    disk.finish(root, study)
    return study


def pruned(root):
    study = disk.pruned(disk.plan())
    disk.finish(root, study)
    return study


def coded(root):
    study = compressed.plan()
    compressed.finish(root, study)
    measured.measure(root, study)
    return study


@pytest.mark.parametrize(
    ("study", "tables"),
    [
        (trained, ("summary", "against_baseline", "by_axis", "best", "checklist")),
        (pruned, ("pruning",)),
        (coded, ("bit_grid", "rounding", "accounting", "size_ladder", "calibration", "robustness", "per_class")),
    ],
)
def test_every_heading_is_explained(study, tables, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    planned = study(tmp_path)
    axes = {axis.rpartition(".")[2] for axis in planned["axes"]}
    for name in tables:
        table = made("table", name, planned, **({"axis": "model"} if name == "by_axis" else {}))
        heads = {WIDTH.sub("", bare(head)) for head in table.printed.columns}
        assert heads - axes <= explained(), name
