"""Random forests that foretell the score of a configuration from its settings, and what they lose with one shuffled."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

FORESTS, PARTS = 10, 5
"""Forests, each of so many parts: one for every part of the configurations, fitted to all others."""
SHUFFLES = 30
"""Times that each axis is shuffled, as often in each forest."""
_TREES = 30


# Table, page and figure ask for the same.
@lru_cache(maxsize=4)
def fitted(columns: tuple[tuple, ...], scores: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Fit random forests that predict scores from settings, and measure the permutation importance of every axis.

    Args:
        columns: for each axis the value of every configuration: a number, NaN where it has none, or a word
        scores: of every configuration

    Returns:
        R² of every forest by cross-validation, float (forests,), and the decrease of R² with each axis shuffled, float
        (axes, SHUFFLES)
    """
    # The import takes seconds.
    from sklearn.inspection import permutation_importance
    from sklearn.metrics import r2_score

    table = np.array(columns, dtype=object).T
    r2, lost = [], []
    for seed in range(FORESTS):
        forest = _Unseen(seed).fit(table, scores)
        r2.append(r2_score(scores, forest.predict(table)))
        found = permutation_importance(
            forest,
            table,
            scores,
            scoring=lambda fitted, shuffled, truth: r2_score(truth, fitted.predict(shuffled)),
            n_repeats=SHUFFLES // FORESTS,
            random_state=seed,
        )
        lost.append(found.importances)
    return np.array(r2), np.concatenate(lost, axis=1)


class _Unseen:
    """Random forests of a cross-validation: each configuration's score is predicted by a forest not fitted to it.

    An axis of words is one-hot encoded inside, so that its words have no order. Outside it is one column, so that it is
    shuffled as a whole.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, table: np.ndarray, scores: Sequence[float]) -> "_Unseen":
        """Fit a forest to all but one part of the configurations, for each part."""
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.model_selection import KFold

        self.words = [
            sorted(set(column)) if any(isinstance(each, str) for each in column) else None for column in table.T
        ]
        inside, scores = self._inside(table), np.asarray(scores)
        self.parts: list[tuple[np.ndarray, Any]] = []
        for rest, part in KFold(PARTS, shuffle=True, random_state=self.seed).split(inside):
            forest = RandomForestRegressor(_TREES, random_state=self.seed)
            self.parts.append((part, forest.fit(inside[rest], scores[rest])))
        return self

    def predict(self, table: np.ndarray) -> np.ndarray:
        """The score of each row by the forest that has not seen it."""
        inside, found = self._inside(table), np.empty(len(table))
        for part, forest in self.parts:
            found[part] = forest.predict(inside[part])
        return found

    def _inside(self, table: np.ndarray) -> np.ndarray:
        return np.column_stack(
            [
                column.astype(float)
                if words is None
                else np.array([[each == word for word in words] for each in column])
                for column, words in zip(table.T, self.words, strict=True)
            ]
        ).astype(float)
