"""Everything that a resumed run needs to go on with the same bits."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from espalier.runs.clock import Clock
from espalier.settings.sections import Training
from espalier.site import device, ranks
from espalier.training.warmup import Schedule


@dataclass
class State:
    """A training under way: the network and all that moves with it."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    sums: Tensor
    """loss and correct images, (2,), summed over this process's images of the epoch so far, on the device"""
    epoch: int = 1
    """the epoch in progress, from 1"""
    step: int = 0
    """steps of it that are done"""
    lr: float = 0.0
    """rate of the last step"""
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    """weights of the best epoch so far"""
    scaler: Any = None
    """the gradient scaler of fp16"""
    clock: Clock = field(default_factory=Clock)
    resumed: int = 0
    """how often the run was continued from a checkpoint"""
    continued: dict[str, str] = field(default_factory=dict)
    """the run from whose end this one goes on, by its folder's name, and the SHA-256 of that; empty for none"""

    @classmethod
    def begin(
        cls, model: nn.Module, train: Training, steps_per_epoch: int, *, scaler: Any = None, clock: Clock | None = None
    ) -> "State":
        """A fresh start for a model that is already on its device."""
        optimizer = train.optimizer.build(list(model.parameters()))
        if train.lookahead:
            # pytorch_optimizer imports some hundred optimizers.
            from pytorch_optimizer import Lookahead

            optimizer = Lookahead(optimizer, k=train.lookahead.k, alpha=train.lookahead.alpha)
        where = next(model.parameters()).device
        sums = torch.zeros(2, dtype=device.exact(where), device=where)
        schedule = Schedule(optimizer, train, steps_per_epoch)
        return cls(model, optimizer, schedule, sums, scaler=scaler, clock=clock or Clock())

    def weights(self) -> dict[str, Tensor]:
        """A copy of the model's tensors as they are now."""
        return {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """The main process's state, with the sums of all; every process must ask for it."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "seconds": self.clock.seconds,
            **{name: getattr(self, name) for name in _PLAIN},
            "sums": ranks.gathered(self.sums),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.scaler:
            self.scaler.load_state_dict(state["scaler"])
        self.clock.resume(state["seconds"])
        where = self.sums.device
        for name in _PLAIN:
            setattr(self, name, state.get(name, getattr(self, name)))
        self.sums = ranks.own(self.sums).to(where)
        self.best = {name: tensor.to(where) for name, tensor in self.best.items()}
        self.resumed += 1


_PLAIN = ("sums", "epoch", "step", "lr", "history", "best", "resumed", "continued")
