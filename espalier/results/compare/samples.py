"""Accuracies by seed, the unit of repetition: what means, intervals and verdicts are made of.

Whatever differs within a group beside the seed is averaged within the seed first: six variants of three networks are
three values, not eighteen.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from espalier.data import header
from espalier.errors import DataError
from espalier.results.compare.logits import FEW, logits
from espalier.results.compare.spread import Spread, spread

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Samples:
    """The accuracies of groups of runs."""

    percent: "pd.DataFrame"
    """a row a group, a column a seed; missing values are NaN"""
    images: "pd.Series"
    """group → images that an accuracy is of"""
    spread: Spread
    """of the logits within the groups that these were chosen from"""

    @property
    def logits(self) -> np.ndarray:
        """float (groups, seeds)"""
        return logits(self.percent.to_numpy(float), self.images.to_numpy(float)[:, None])

    def chosen(self, groups: Iterable[Hashable]) -> "Samples":
        """Some of the groups; the spread stays that of all."""
        picked = list(groups)
        return replace(self, percent=self.percent.loc[picked], images=self.images.loc[picked])


def samples(frame: "pd.DataFrame", by: str, measure: str) -> Samples:
    """The accuracies of a frame of runs by the values of `by`, in its order."""
    percent, images = by_seed(frame, by, measure), image_counts(frame, measure)
    images = images.groupby(frame[by], sort=False, observed=True).min().reindex(percent.index).fillna(FEW)
    return Samples(percent, images, spread(logits(percent.to_numpy(float), images.to_numpy(float)[:, None])))


def by_seed(frame: "pd.DataFrame", by: str, column: str) -> "pd.DataFrame":
    """A row a group, a column a seed: the mean over the configurations of the group.

    All seeds of a group are means over the same configurations, those that have a result; a seed that lacks one of them
    is missing.
    """
    groups = frame.assign(group=frame[by]).groupby(["group", "configuration", "seed"], sort=False, observed=True)
    cells = groups[column].mean().unstack("seed").sort_index(axis=1)
    done = cells.dropna(how="all").groupby(level="group", sort=False)
    # A mean over fewer configurations would be of other things.
    found = done.mean().where(done.count().eq(done.size(), axis=0))
    return found.reindex(frame[by].drop_duplicates())


def image_counts(frame: "pd.DataFrame", measure: str) -> "pd.Series":
    """The number of images that each row's accuracy was measured on; missing where it is not known."""
    import pandas as pd

    if measure.startswith("test") and "images" in frame:
        return frame["images"]
    if "folder.prepare" not in frame:
        return pd.Series(np.nan, frame.index)
    split = measure.partition("_")[0]
    sizes = {path: _size(path, split) for path in frame["folder.prepare"].dropna().unique()}
    return frame["folder.prepare"].map(sizes).astype(float)


def _size(path: str, split: str) -> float:
    try:
        return float(header.read(Path(path))["sizes"][split])
    except (DataError, KeyError, TypeError, ValueError):
        return np.nan
