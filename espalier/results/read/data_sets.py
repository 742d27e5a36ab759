"""The prepared data sets of a study: classes, and how many images of each their splits have."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from espalier.data import header
from espalier.data.class_counts import resolution
from espalier.data.image_folders import left_out_words
from espalier.errors import DataError
from espalier.results.read.planned_study import Study

_SPLITS = ("train", "validation", "test")
MOST = 20
"""Classes that are listed one by one."""


@dataclass(frozen=True)
class PreparedSet:
    """What the page says of one prepared data set."""

    name: str
    splits: tuple[str, ...]
    sizes: tuple[int, ...]
    rows: Sequence[tuple[str, tuple[int, ...]]]
    """(class, images of it in each split); of many classes those with the fewest training images"""
    classes: int
    resolution: str
    """what its test images can tell apart"""
    left_out: str
    """files that are no images, in words; empty where there are none"""


def prepared(study: Study) -> list[PreparedSet]:
    """The data sets of a study that are on disk and say what they hold."""
    found = []
    for run in study["runs"].values():
        if run["stage"] != "prepare":
            continue
        path = Path(run["path"])
        try:
            metadata = header.read(path)
        except DataError:
            continue
        if counts := metadata.get("counts"):
            counts = {split: counts[split] for split in _SPLITS}
            columns = zip(*counts.values(), strict=True)
            rows = list(zip(metadata["classes"], columns, strict=True))
            if len(rows) > MOST:
                rows = sorted(rows, key=lambda row: row[1])[:MOST]
            sizes = tuple(sum(each) for each in counts.values())
            left_out = left_out_words(metadata.get("left_out", {}))
            tested = resolution(sum(counts["test"]))
            found.append(PreparedSet(path.stem, tuple(counts), sizes, rows, len(metadata["classes"]), tested, left_out))
    return found
