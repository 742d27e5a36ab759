"""A run at work: where it writes, what may stop it, whom it tells how far it is, and how often it saves."""

from dataclasses import dataclass
from pathlib import Path

from espalier.runs.clock import Clock
from espalier.runs.interruption import Interruption
from espalier.runs.progress import Heartbeat


@dataclass
class Work:
    """What surrounds a run while it is made; no result depends on it."""

    folder: Path
    interruption: Interruption
    heartbeat: Heartbeat
    checkpoint_minutes: float
    """longest time within an epoch, or between two settings of a grid, without a checkpoint"""
    clock: Clock
    """of the whole run, since its process started"""
