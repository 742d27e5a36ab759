"""How much of the differences between configurations each axis explains: a random forest is fitted to their scores, and
errs more where the values of an axis are shuffled.

Half of the R² that is lost so is the share of the variance that the axis explains, alone and together with others: its
total effect (Gregorutti et al. 2017, arXiv 1310.5726; Saltelli et al. 2010). Forest and shuffling are scikit-learn's
(Breiman 2001).
"""

from collections.abc import Sequence
from math import log, nan
from typing import TYPE_CHECKING, NamedTuple

from espalier.counted import counted
from espalier.results.compare.axis_values import Values, along
from espalier.results.read.planned_study import Study
from espalier.results.read.rungs import reached_by_all
from espalier.results.read.stage_networks import until

if TYPE_CHECKING:
    import pandas as pd

LEAST, PER_AXIS = 10, 3
"""Configurations without which nothing is said: in all, and for each axis."""
EXPLAINED = 0.3
"""R² of the forest below which its importances mean nothing."""
_RANGE = (2.5, 97.5)
"""Percentiles of the shuffles that are told."""


class Part(NamedTuple):
    """The share of variance (1 is all) that an axis explains, alone and with others: mean and range over shuffles."""

    values: Values
    mean: float
    low: float
    high: float


class Importance(NamedTuple):
    """What a forest says of a study."""

    parts: list[Part]
    """of every axis, the most important first; none where there is too little to say"""
    r2: tuple[float, float, float]
    """R² of the forests on configurations that they have not seen: mean, smallest and largest"""
    scored: int
    """configurations that have a score,"""
    planned: int
    """of so many"""
    refused: str
    """why nothing is said; empty where it is"""

    @property
    def readable(self) -> bool:
        """Whether the forest explains enough for its importances to mean something."""
        return self.r2[0] >= EXPLAINED


def shared(frame: "pd.DataFrame") -> bool:
    """Whether scores are compared after epochs that all trainings have reached, since some were stopped there."""
    return "shared_top1" in frame


def importance(frame: "pd.DataFrame", study: Study) -> Importance:
    """How much every axis matters for the final validation top-1, by permutation importance in random forests.

    Where a search stopped some configurations, the score is the trained network's validation top-1 after the epochs
    that all have reached.
    """
    if shared(frame):
        frame, study = until(frame, study, "train")
    column = "shared_top1" if shared(frame) else "validation_top1"
    scores = frame.groupby("configuration", sort=False)[column].mean()
    planned, scores = len(scores), scores.dropna()
    axes = along(frame, scores.index, study)
    refused = _refused(scores, axes, planned)
    if refused:
        return Importance([], (nan,) * 3, len(scores), planned, refused)
    # Captions come from modules that import this one, and must not wait for numpy.
    import numpy as np

    from espalier.results.compare import forest

    r2, lost = forest.fitted(tuple(map(_column, axes)), tuple(scores))
    explained = lost / 2
    shares = zip(axes, explained.mean(axis=1), *np.percentile(explained, _RANGE, axis=1), strict=True)
    parts = sorted((Part(values, *map(float, share)) for values, *share in shares), key=lambda part: -part.mean)
    return Importance(parts, (float(r2.mean()), float(r2.min()), float(r2.max())), len(scores), planned, "")


def compared_scores(study: Study) -> str:
    """A sentence for captions: which scores are compared."""
    epochs = reached_by_all(study)
    if epochs is None:
        return "Scores are those at the end."
    return f"Scores are those after epoch {epochs}, which all have reached."


def notes() -> str:
    """Sentences for captions: how the shares come about."""
    return (
        "Random forests foretell the score of each configuration from others alone, and the values of one setting are "
        "shuffled: half of the R² that is lost is the share that the setting explains, alone and with others, so that "
        "shares may add up to more than 100. The range holds 95 % of the shuffles; what other configurations would say "
        "it does not tell. All together is the R² of the forests, with its range. One value that ruins trainings can "
        "outweigh all else."
    )


def _refused(scores: "pd.Series", axes: Sequence[Values], planned: int) -> str:
    if not len(scores):
        return f"No configuration has a result yet ({planned} planned)."
    least = max(LEAST, PER_AXIS * len(axes))
    if len(scores) < least:
        axes_ = counted(len(axes), "axis", "axes")
        return (
            f"Importance of {axes_} takes {least} configurations with a result; there are {len(scores)} of {planned}."
        )
    return "" if scores.nunique() > 1 else "All configurations have the same score: no setting explains a difference."


def _column(values: Values) -> tuple:
    """The values as a forest sees them."""
    if values.numbers is None:
        return tuple(values.labels)
    return tuple(map(log, values.numbers) if values.logarithmic else values.numbers)
