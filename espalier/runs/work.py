"""A run at work: where it writes, what may stop it, whom it tells how far it is, and how often it saves."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from espalier.runs.interruption import Interruption
from espalier.runs.progress import Heartbeat


@dataclass(frozen=True)
class Work:
    """What surrounds a stage that saves its state and goes on from it; no result depends on it."""

    folder: Path
    interruption: Interruption
    heartbeat: Heartbeat
    checkpoint_minutes: float
    """longest time within an epoch, or between two settings of a grid, without a checkpoint"""
    started: float = field(default_factory=time.monotonic)
    """when the process started, by the monotonic clock"""
