"""How soon a training was nearly as good as it would get: computed from its history whenever runs are read."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

COLUMN = "epochs_to_convergence"
HEADING = "Epochs to convergence"
NEAR = 0.5
"""Points of validation top-1 below the best epoch within which a training counts as converged: the margin within which
configurations count as equivalent, too."""
DEFINITION = (
    f"{HEADING}: the first epoch whose validation top-1 is at most {NEAR:g} points below that of the best epoch."
)
"""For captions."""


def epochs_to_convergence(history: "pd.DataFrame", runs: "pd.DataFrame") -> "pd.Series":
    """The first epoch, counted from 1, that is within `NEAR` of the highest validation top-1; in the order of `runs`.

    Args:
        history: a row an epoch of every training: `run`, `epoch`, `validation_top1` in percent
        runs: a row a chain: ids of the runs that trained its network one after the other, whose epochs are counted on;
            missing where there is none. A chain without a history has no number.
    """
    import pandas as pd

    rows = {run: rows["validation_top1"].to_numpy() for run, rows in history.groupby("run", sort=False)}

    def first(ids: "pd.Series") -> float:
        top1 = [value for run in ids.dropna() for value in rows.get(run, ())]
        return next((epoch for epoch, value in enumerate(top1, 1) if value >= max(top1) - NEAR), float("nan"))

    return pd.Series([first(ids) for _, ids in runs.iterrows()], runs.index, dtype=float)
