"""Time spent on a run, carried across interruptions."""

import time

import psutil


class Clock:
    """Seconds on the wall and on the CPU since `started`, and in parts of the present epoch.

    `seconds` holds "wall" and "cpu" of the whole run, start-up included, "train" of the steps of this epoch, and
    "epoch" of the epoch with its validation; `began` is when this process did, in seconds since the epoch of Unix.
    """

    def __init__(self, started: float | None = None):
        self.seconds = {"wall": 0.0, "cpu": 0.0, "train": 0.0, "epoch": 0.0}
        # The CPU time of a process starts with it, so the first lap takes in the imports.
        self._mark = (time.monotonic(), time.process_time()) if started is None else (started, 0.0)
        self.began = time.time() - (time.monotonic() - self._mark[0])

    def lap(self, *parts: str) -> None:
        """Count the time since the last lap for the run and for `parts` of the epoch."""
        now = (time.monotonic(), time.process_time())
        wall, cpu = (new - old for new, old in zip(now, self._mark, strict=True))
        self._mark = now
        for part, spent in (("wall", wall), ("cpu", cpu), *((part, wall) for part in parts)):
            self.seconds[part] += spent

    def next_epoch(self) -> None:
        self.seconds |= {"train": 0.0, "epoch": 0.0}

    def resume(self, seconds: dict[str, float]) -> None:
        """Go on from the times of a checkpoint; what this process has spent on starting up is added to them."""
        self.seconds = {part: spent + self.seconds[part] for part, spent in seconds.items()}


def process_began() -> float:
    """When this process began, by the monotonic clock; a forked one began when it was forked."""
    return time.monotonic() - (time.time() - psutil.Process().create_time())
