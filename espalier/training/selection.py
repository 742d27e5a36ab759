"""Which epoch of a history is the best, and whether there is another one to train; no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from espalier.settings.sections import EarlyStopping, Training

Rows = Sequence[Mapping[str, Any]]


def rank(row: Mapping[str, Any], select: str) -> tuple[float, ...]:
    """The larger the better; equal accuracy is told apart by loss."""
    loss = -row["validation_loss"]
    return (loss,) if select == "loss" else (row[f"validation_{select}"], loss)


def best(history: Rows, select: str) -> Mapping[str, Any]:
    """The best epoch on validation; the earliest of equals."""
    return max(history, key=lambda row: rank(row, select))


def stalled(history: Rows, select: str, early: EarlyStopping) -> bool:
    """Whether the last `patience` epochs have all failed to improve the selection metric by more than `min_delta`."""
    mark, since = None, 0
    for row in history:
        metric = rank(row, select)[0]
        if mark is None or metric > mark + early.min_delta:
            mark, since = metric, 0
        else:
            since += 1
    return since >= early.patience


def finished(history: Rows, train: Training) -> bool:
    """Whether there is no further epoch to train."""
    if len(history) >= train.epochs:
        return True
    return train.early_stopping is not None and stalled(history, train.select, train.early_stopping)
