"""How long a call still takes, from the runs that have ended in it: the rest of the work, at the pace so far."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from statistics import fmean

LEAST = 3
"""Runs that have ended before anything is said."""


class TimeLeft:
    """Estimates the time left in a call from the runs that have ended.

    It assumes that a run takes the mean time of its stage, and that as many runs go on at once as so far.

    Args:
        submits: whether jobs wait in a queue; the time since a job began is not counted then
    """

    def __init__(self, submits: bool = False):
        self._submits = submits
        self._first: float | None = None
        self._to_go: Counter[str] = Counter()
        self._running: dict[int, float] = {}
        self._took: dict[str, list[float]] = defaultdict(list)

    def expect(self, runs: Mapping[str, int]) -> None:
        """Take the number of runs to make of each stage."""
        self._to_go = Counter(runs)

    def began(self, job: int, now: float) -> None:
        """Note a job that has begun, at a time in seconds."""
        self._first = now if self._first is None else self._first
        self._running[job] = now

    def ended(self, job: int, stage: str, seconds: float) -> None:
        """Note a run that has ended after so many seconds of its own."""
        self._running.pop(job, None)
        self._to_go[stage] -= 1
        self._took[stage].append(seconds)

    def failed(self, job: int, stage: str) -> None:
        """Note a run that has failed, or has not come to its end."""
        self._running.pop(job, None)
        self._to_go[stage] -= 1

    def again(self, stage: str) -> None:
        """Note that a run which has failed is tried again."""
        self._to_go[stage] += 1

    def words(self, now: float) -> str:
        """``about 12 min left``; ``over 12 min left`` where of a stage to come no run has ended. Empty as long as
        there is little to go by, and where nothing is left."""
        to_go = +self._to_go
        known = {stage: fmean(times) for stage, times in self._took.items()}
        if sum(map(len, self._took.values())) < LEAST or not to_go or self._first is None:
            return ""
        begun = 0.0 if self._submits else sum(now - began for began in self._running.values())
        spent = sum(map(sum, self._took.values())) + begun
        rest = max(0.0, sum(count * known.get(stage, 0.0) for stage, count in to_go.items()) - begun)
        left = (now - self._first) * rest / spent if spent else 0.0
        if not left:
            return ""
        return f"{'about' if to_go.keys() <= known.keys() else 'over'} {roughly(left)} left"


def roughly(seconds: float) -> str:
    """``40 s``, ``12 min`` or ``31 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 10 else f"{hours:.0f} h"
