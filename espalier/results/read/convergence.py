"""Epochs to convergence and seconds an epoch, computed from the histories of trainings whenever runs are read."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

COLUMN = "epochs_to_convergence"
HEADING = "Epochs to convergence"
SECONDS = "epoch_s"
"""Column with the mean time of an epoch."""
NEAR = 0.5
"""Points of validation top-1 below the best epoch within which a training counts as converged: the margin within which
configurations count as equivalent, too."""
DEFINITION = (
    f"{HEADING}: the first epoch whose validation top-1 is at most {NEAR:g} points below that of the best epoch."
)
"""For captions."""


def courses(history: "pd.DataFrame", runs: "pd.DataFrame") -> "pd.DataFrame":
    """Epochs to convergence and mean seconds an epoch of every chain; float, in the order of `runs`.

    `epochs_to_convergence` is the first epoch, counted from 1, whose validation top-1 is within `NEAR` points of the
    highest.

    Args:
        history: a row an epoch of every training: `run`, `validation_top1` in percent, `epoch_s` in seconds
        runs: a row a chain: ids of the runs that trained its network one after the other, whose epochs are counted on;
            missing where there is none. A chain without a history has no numbers.
    """
    import pandas as pd

    known = {run: rows[["validation_top1", SECONDS]] for run, rows in history.groupby("run", sort=False)}
    found = []
    for ids in runs.itertuples(index=False, name=None):
        parts = [known[run] for run in ids if run in known]
        epochs = pd.concat(parts) if parts else history[["validation_top1", SECONDS]].iloc[:0]
        top1 = epochs["validation_top1"].tolist()
        first = next((epoch for epoch, value in enumerate(top1, 1) if value >= max(top1) - NEAR), float("nan"))
        found.append({COLUMN: first, SECONDS: epochs[SECONDS].mean()})
    return pd.DataFrame(found, runs.index, [COLUMN, SECONDS], dtype=float)
