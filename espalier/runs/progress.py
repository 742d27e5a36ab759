"""What a run shows while it runs: a live bar or plain lines, and a heartbeat for other programs."""

import json
import logging
import os
import platform
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from espalier.files import write_text
from espalier.site import ranks

log = logging.getLogger("espalier")


class Heartbeat:
    """`heartbeat.json` in a run's folder: how far it is, for status programs on any node."""

    def __init__(self, folder: Path, every_s: float = 5.0):
        self._path = Path(folder) / "heartbeat.json"
        self._every_s = every_s
        self._written = 0.0
        self.quiet = False
        """whether to say nothing, while another process owns the folder"""
        self._facts: dict[str, Any] = {"epoch": 0, "epochs": None, "top1": None, "seconds_left": None}
        self._facts["log"] = str(Path(folder) / "run.log")
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def alone(self) -> "Heartbeat":
        """Beat from a thread of its own until the state is a final one, for work that has no steps to tell of."""
        self.beat(now=True)
        threading.Thread(target=self._go_on, daemon=True).start()
        return self

    def inherit(self) -> "Heartbeat":
        """Go on from what a process that has ended wrote last."""
        last = self.last()
        self._facts |= {name: last[name] for name in self._facts if name in last}
        return self

    def last(self) -> dict[str, Any]:
        """The content of the file; empty if there is none."""
        with suppress(OSError, ValueError):
            found = json.loads(self._path.read_text())
            return found if isinstance(found, dict) else {}
        return {}

    def beat(self, state: str = "running", *, now: bool = False, **facts: Any) -> None:
        """Note `facts`, and write when it is time, when told `now`, or when the state is a final one."""
        self._facts |= facts
        if state == "running" and not now and time.monotonic() - self._written < self._every_s:
            return
        if self.quiet or not ranks.main():
            return
        with self._lock:
            if state != "running":
                self._ended.set()
            elif self._ended.is_set():
                return
            self._written = time.monotonic()
            where = {"state": state, "pid": os.getpid(), "host": platform.node(), "time": time.time()}
            write_text(self._path, json.dumps(where | self._facts) + "\n")

    def _go_on(self) -> None:
        while not self._ended.wait(self._every_s):
            # A disk that is full for a moment ends no beating.
            with suppress(OSError):
                self.beat(now=True)


class Progress:
    """Epoch, top-1 and time left: a bar when stderr is a terminal, a line an epoch in the log always.

    Args:
        until: the epoch at whose end the run pauses, to which the time left is told; None: it does not
    """

    def __init__(
        self,
        epochs: int,
        steps_per_epoch: int,
        heartbeat: Heartbeat,
        epoch: int = 1,
        step: int = 0,
        until: int | None = None,
    ):
        self._epochs, self._steps = epochs, steps_per_epoch
        self._last = min(epochs, until or epochs) * steps_per_epoch
        self._heartbeat = heartbeat
        self._first = (epoch - 1) * steps_per_epoch + step
        self._started = time.monotonic()
        self._bar = None
        if sys.stderr.isatty() and ranks.main():
            from tqdm import tqdm

            self._bar = tqdm(total=epochs * steps_per_epoch, initial=self._first, unit="step", dynamic_ncols=True)
            self._bar.set_description(f"epoch {epoch}/{epochs}")
        heartbeat.beat(now=True, epoch=epoch - 1, epochs=epochs)

    def step_ended(self, epoch: int, step: int) -> None:
        if self._bar is not None:
            self._bar.update()
        self._heartbeat.beat(seconds_left=self._seconds_left(epoch, step))

    def epoch_ended(self, row: dict[str, Any]) -> None:
        epoch, left = row["epoch"], self._seconds_left(row["epoch"], self._steps)
        log.info(
            "epoch %d/%d  lr %.3g  train loss %.4f top-1 %.2f %%  validation loss %.4f top-1 %.2f %%  %.0f images/s  "
            "%.0f s left",
            *(epoch, self._epochs, row["lr"], row["train_loss"], row["train_top1"]),
            *(row["validation_loss"], row["validation_top1"], row["images_per_s"], left),
        )
        if self._bar is not None:
            self._bar.set_description(f"epoch {min(epoch + 1, self._epochs)}/{self._epochs}")
            self._bar.set_postfix_str(f"top-1 {row['validation_top1']:.2f} %")
        self._heartbeat.beat(now=True, epoch=epoch, top1=row["validation_top1"], seconds_left=left)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _seconds_left(self, epoch: int, step: int) -> float:
        done = (epoch - 1) * self._steps + step
        pace = (time.monotonic() - self._started) / max(done - self._first, 1)
        return round(pace * max(0, self._last - done), 1)
