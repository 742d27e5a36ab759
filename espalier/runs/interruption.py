"""Requests to stop: a signal, or the end of the time that was given."""

import os
import signal
import time

STOPPED = 75
"""Exit code of a run that saved its state and asks to be run again (EX_TEMPFAIL)."""


JOB_STARTED = "ESPALIER_JOB_STARTED"
"""Environment variable with the time (`time.time`) at which the cluster job that this process is part of began to run
Snakemake."""


def job_started(started: float) -> float:
    """When the time of a process that began at `started` (both `time.monotonic`) began to be counted: with its job."""
    begun = os.environ.get(JOB_STARTED)
    return started if begun is None else min(started, time.monotonic() - (time.time() - float(begun)))


class Interruption:
    """Tells when a run must stop: after SIGTERM, SIGUSR1 or SIGINT (Ctrl-C), or before a budget of `minutes` is spent.

    A reserve for the end is kept back, at most half of the budget: five seconds, and twice each of the longest gap
    between two looks (a step, or a validation), the longest save, and the time from the start of the cluster job to
    that of this process. That last time covers two starts of Snakemake; measured on idle and on busy nodes, Snakemake's
    end after this process takes a quarter to a half of it.

    Args:
        minutes: the budget; None: no end
        started: when this process started, by `time.monotonic`; None: now
        began: when the cluster job began, by the same clock; the budget counts from there, else from `started`
    """

    def __init__(self, minutes: float | None = None, started: float | None = None, began: float | None = None):
        started = time.monotonic() if started is None else started
        self._began = started if began is None else began
        self._end = 5 + 2 * (started - self._began)
        self._budget = None if minutes is None else 60 * minutes
        self._signal: str | None = None
        self._gap = self._save = 0.0
        self._looked: float | None = None

    def listen(self) -> "Interruption":
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, lambda received, _: setattr(self, "_signal", signal.Signals(received).name))
        return self

    def saved(self, seconds: float) -> None:
        """A save took so long; it does not count as a gap."""
        self._save = max(self._save, seconds)
        self._looked = None

    def reason(self) -> str | None:
        """Why to stop now, or None; asked after every step."""
        now = time.monotonic()
        self._gap = max(self._gap, now - (self._looked or now))
        self._looked = now
        if self._signal or self._budget is None:
            return self._signal
        reserve = min(self._end + 2 * (self._gap + self._save), self._budget / 2)
        spent = now - self._began
        return f"{spent:.0f} of {self._budget:.0f} s are spent" if spent >= self._budget - reserve else None
