"""One schedule for the loop to step: a linear warm-up, then whatever torch's scheduler does."""

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from espalier.settings.sections import Training
from espalier.training.schedulers import Span


class Schedule:
    """The learning rate of a training, stepped after every optimizer step and told every epoch's validation.

    The warm-up's step t of w has the rate (t + 1) / (w + 1) of the rate that the schedule itself starts at, which
    step w then has. A plateau schedule does not watch epochs that end within the warm-up.
    """

    def __init__(self, optimizer: Optimizer, train: Training, steps_per_epoch: int):
        span = Span.of(train.epochs, steps_per_epoch, train.warmup_epochs)
        self.scheduler = train.scheduler.build(optimizer, span)
        self._optimizer = optimizer
        self._higher_is_better = train.select != "loss"
        self._warmup = span.warmup
        self._targets = [float(group["lr"]) for group in optimizer.param_groups]
        self._done = 0
        self._rise()

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def step(self) -> None:
        """An optimizer step has been made."""
        self._done += 1
        if self._done <= self._warmup:
            self._rise()
        elif not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()

    def epoch_ended(self, metric: float) -> None:
        """Validation of an epoch gave `metric`, the one that chooses the best epoch."""
        if isinstance(self.scheduler, ReduceLROnPlateau) and self._done > self._warmup:
            self.scheduler.step(-metric if self._higher_is_better else metric)

    def _rise(self) -> None:
        for group, target in zip(self._optimizer.param_groups, self._targets, strict=True):
            group["lr"] = target * (self._done + 1) / (self._warmup + 1) if self._done < self._warmup else target

    def state_dict(self) -> dict[str, Any]:
        return {"done": self._done, "scheduler": self.scheduler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken; the rates themselves come back with the optimizer's state."""
        self._done = state["done"]
        self.scheduler.load_state_dict(state["scheduler"])
