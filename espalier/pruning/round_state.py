"""The state from which an interrupted pruning resumes: finished rounds, and the last network above the floor."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

from espalier.runs.checkpoint import Checkpoints
from espalier.runs.clock import Clock


@dataclass
class Good:
    """The network of the last round whose validation top-1 reached the floor."""

    weights: dict[str, Tensor]
    shapes: dict[str, Any] | None
    kept: Mapping[str, Tensor] | None
    """path of a weight → True where it may be other than zero; None where every weight may"""
    scores: dict[str, Any]
    """its row of history"""


@dataclass
class Rounds:
    """A pruning under way, at the end of a round or inside one."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    """a row a finished round"""
    history: list[dict[str, Any]] = field(default_factory=list)
    """a row an epoch of the finished rounds, epochs numbered through"""
    good: Good | None = None
    """None while no round has reached the floor"""
    shapes: dict[str, Any] | None = None
    """widths of the network in training; None where they are the parent's"""
    kept: Mapping[str, Tensor] | None = None
    """as above, of the network in training"""
    inner: dict[str, Any] | None = None
    """state of the round's training; None between rounds"""
    seconds: dict[str, float] | None = None
    resumed: int = 0

    def state_dict(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)} | {
            "good": None if self.good is None else {one.name: getattr(self.good, one.name) for one in fields(Good)}
        }

    @classmethod
    def resume(cls, saved: dict[str, Any]) -> "Rounds":
        good = None if saved["good"] is None else Good(**saved["good"])
        return cls(**(saved | {"good": good, "resumed": saved["resumed"] + 1}))


class Saver:
    """What a training saves of itself, saved with the rounds around it."""

    def __init__(self, checkpoints: Checkpoints, rounds: Rounds, clock: Clock) -> None:
        self._checkpoints = checkpoints
        self._rounds = rounds
        self._clock = clock

    def save(self, inner: dict[str, Any] | None) -> None:
        """Save the rounds with the state of the training under way, or between two of them."""
        self._rounds.inner = inner
        self._rounds.seconds = self._clock.seconds
        self._checkpoints.save(self._rounds.state_dict())
