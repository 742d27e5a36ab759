"""The values of configurations along the axes of a study, as numbers where they are such."""

from math import isfinite, nan
from typing import TYPE_CHECKING, NamedTuple

from espalier.results.compare.comparison import label_columns
from espalier.results.read.planned_study import Study, axis_names

if TYPE_CHECKING:
    import pandas as pd

LOG_RANGE = 20
"""A factor between the smallest and the largest number from which on their logarithms are shown and compared."""
BARE = "–"
"""The label of a configuration to which an axis does not belong."""


class Values(NamedTuple):
    """One axis."""

    axis: str
    head: str
    """its short name"""
    labels: list[str]
    """of every configuration"""
    numbers: list[float] | None
    """the same as numbers, NaN where the axis does not belong to a configuration; None where a label is a word"""

    @property
    def logarithmic(self) -> bool:
        """Whether the numbers span so much that their logarithms tell more."""
        found = [number for number in self.numbers or () if isfinite(number)]
        return bool(found) and min(found) > 0 and max(found) / min(found) >= LOG_RANGE


def along(frame: "pd.DataFrame", configurations: "pd.Index", study: Study) -> list[Values]:
    """Every axis that has two values or more among some configurations, in the order of the study."""
    heads = axis_names(study)
    columns = label_columns(frame, configurations, study)
    return [
        Values(axis, heads[axis], labels, _numbers(labels)) for axis, labels in columns.items() if len(set(labels)) > 1
    ]


def _numbers(labels: list[str]) -> list[float] | None:
    try:
        found = [nan if label == BARE else float(label) for label in labels]
    except ValueError:
        return None
    return found if sum(map(isfinite, found)) == len(found) - labels.count(BARE) else None
