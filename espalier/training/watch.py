"""What happens around the steps: checkpoints, stop requests, the history file, progress."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from espalier.errors import Interrupted, Paused
from espalier.runs import trackers
from espalier.runs.checkpoint import Checkpoints
from espalier.runs.columns import HISTORY, write_rows
from espalier.runs.progress import Progress
from espalier.runs.work import Work
from espalier.site import ranks
from espalier.training.state import State

EPOCH_SAVE_S = 10.0
"""Epochs that follow each other faster than this are not all saved: a tiny run would spend its time on it."""


def continued_history(
    earlier: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The histories of two trainings of one run as one, epochs numbered on."""
    return [*earlier, *(row | {"epoch": len(earlier) + row["epoch"]} for row in rows)]


class Pausing(Protocol):
    """By what a training pauses at the end of an epoch."""

    until: int | None
    """the epoch at whose end it does, where that is known before"""

    def reason(self, history: Sequence[Mapping[str, Any]]) -> str:
        """Why it pauses after the epochs of this history; empty where it goes on. Every process asks."""


class Watch:
    """Saves at the end of an epoch, after `checkpoint_minutes` within a long one, and when asked to stop.

    Several processes save and stop after the same step: when the main one's time has come, or any is asked to stop.

    Args:
        earlier: rows of history of the run's trainings before this one
        pausing: says whether the run pauses at the end of an epoch, where its training does not end there; None for
            never
    """

    def __init__(
        self,
        work: Work,
        checkpoints: Checkpoints,
        state: State,
        *,
        epochs: int,
        steps_per_epoch: int,
        earlier: Sequence[Mapping[str, Any]] = (),
        pausing: Pausing | None = None,
    ):
        self._epochs, self._pausing = epochs, pausing
        self._history = work.folder / "history.csv"
        self._earlier = earlier
        self._checkpoints = checkpoints
        self._interruption = work.interruption
        self._every_s = 60 * work.checkpoint_minutes
        self._progress = Progress(
            epochs, steps_per_epoch, work.heartbeat, state.epoch, state.step, pausing.until if pausing else None
        )
        self._saved = time.monotonic()
        trackers.begin(len(earlier) + state.epoch)

    def epoch_begins(self, state: State) -> None:
        """Pause the run if it has reached the epoch to pause after, or a resumed state is already beyond it.

        Raises:
            Paused: the run pauses; its state is saved.
        """
        reason = self._pausing.reason(continued_history(self._earlier, state.history)) if self._pausing else ""
        if not reason:
            return
        self._write(state)
        self._save(state)
        self.close()
        raise Paused(f"paused at the end of epoch {state.epoch - 1} of {self._epochs}: {reason}")

    def step_ended(self, state: State) -> None:
        """Look for a reason to save or to stop; costs no host sync unless there is one.

        Raises:
            Interrupted: the run was asked to stop, and its state is saved.
        """
        self._progress.step_ended(state.epoch, state.step)
        self._look(state, self._every_s, "train", "epoch")

    def epoch_ended(self, state: State, best: Mapping[str, Any] | None = None) -> None:
        """Write the epoch's row of history, report progress, and save or stop if it is time.

        Args:
            best: the row of the epoch whose weights would be kept if the training ended now; None if there is none yet

        Raises:
            Interrupted: the run was asked to stop, and its state is saved.
        """
        trackers.log_epoch(self._write(state)[-1], best and continued_history(self._earlier, [best])[-1])
        self._progress.epoch_ended(state.history[-1])
        self._look(state, min(self._every_s, EPOCH_SAVE_S))

    def close(self) -> None:
        self._progress.close()

    def _write(self, state: State) -> list[Mapping[str, Any]]:
        """Write the history of the run so far, and return it."""
        history = continued_history(self._earlier, state.history)
        if ranks.main():
            write_rows(self._history, HISTORY, history)
        return history

    def _look(self, state: State, every_s: float, *parts: str) -> None:
        reason = self._interruption.reason()
        due = ranks.main() and time.monotonic() - self._saved >= every_s
        agreed = ranks.agree(ranks.STOP if reason else ranks.SAVE if due else ranks.NOTHING)
        if agreed:
            self._save(state, *parts)
        if agreed == ranks.STOP:
            self.close()
            # None may end while the main process is writing.
            ranks.agree(ranks.NOTHING)
            reason = reason or "another process was asked to stop"
            raise Interrupted(f"{reason}: stopped after step {state.step} of epoch {state.epoch}")

    def _save(self, state: State, *parts: str) -> None:
        begun = time.monotonic()
        state.clock.lap(*parts)
        self._checkpoints.save(state.state_dict())
        state.clock.lap()
        self._saved = time.monotonic()
        self._interruption.saved(self._saved - begun)
