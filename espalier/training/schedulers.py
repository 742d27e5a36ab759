"""Learning-rate schedules by name: torch's own, with a linear warm-up in front of any of them.

Settings speak of epochs; `Span` says how many optimizer steps these are. Schedules that run to the end of
training (cosine, one_cycle) span the steps after the warm-up; epochs at which the rate is cut (step,
multi_step) are epochs of training, so a warm-up does not move them.

Facts: `cuts` and `period` name the setting with the epochs of the first cut, or of the first period, by which the plan
tells of a training that ends before. `any_length`: the rate of a step does not depend on how many come after it, so
that a training may be made longer.
"""

from dataclasses import dataclass
from typing import Literal

from torch.optim import Optimizer, lr_scheduler

from espalier.settings.registry import register
from espalier.settings.types import Count, Counts, Fraction, Natural, NonNegative, Positive


@dataclass(frozen=True)
class Span:
    """The optimizer steps of a training: in all, an epoch, and in the warm-up."""

    total: int
    per_epoch: int
    warmup: int = 0

    @classmethod
    def of(cls, epochs: int, per_epoch: int, warmup_epochs: float) -> "Span":
        return cls(epochs * per_epoch, per_epoch, min(round(warmup_epochs * per_epoch), epochs * per_epoch))

    @property
    def main(self) -> int:
        """Steps after the warm-up, at least one so that a schedule can be made of them."""
        return max(self.total - self.warmup, 1)


@register("scheduler", any_length=True)
def constant(optimizer: Optimizer, span: Span):
    """The same learning rate throughout."""
    return lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)


@register("scheduler", cuts="epochs", any_length=True)
def step(optimizer: Optimizer, span: Span, *, epochs: Count = 30, gamma: Fraction = 0.1):
    """The learning rate is multiplied by `gamma` every so many epochs.

    Args:
        epochs: epochs of training between two cuts
        gamma: factor of a cut
    """
    size = epochs * span.per_epoch
    return _under_way(lr_scheduler.StepLR(optimizer, size, gamma), span, gamma ** (span.warmup // size))


@register("scheduler", cuts="milestones", any_length=True)
def multi_step(optimizer: Optimizer, span: Span, *, milestones: Counts = (60, 120, 160), gamma: Fraction = 0.2):
    """The learning rate is multiplied by `gamma` at given epochs.

    Args:
        milestones: epochs of training after which the rate is cut
        gamma: factor of a cut
    """
    steps = [epoch * span.per_epoch for epoch in milestones]
    passed = sum(milestone <= span.warmup for milestone in steps)
    return _under_way(lr_scheduler.MultiStepLR(optimizer, steps, gamma), span, gamma**passed)


def _under_way(scheduler, span: Span, cut: float):
    """A schedule that counts from the first step of training, set to the end of the warm-up."""
    scheduler.last_epoch = span.warmup
    for group in scheduler.optimizer.param_groups:
        group["lr"] *= cut
    return scheduler


@register("scheduler", any_length=True)
def plateau(
    optimizer: Optimizer,
    span: Span,
    *,
    factor: Fraction = 0.1,
    patience: Natural = 10,
    threshold: NonNegative = 1e-4,
    cooldown: Natural = 0,
    min_lr: NonNegative = 0.0,
):
    """The learning rate is cut when the selection metric on validation stops improving.

    Args:
        factor: factor of a cut
        patience: epochs without improvement that pass before a cut
        threshold: smallest change that counts as improvement (points of top-1, or nats of loss)
        cooldown: epochs after a cut that do not count as epochs without improvement
        min_lr: the rate is never cut below this
    """
    return lr_scheduler.ReduceLROnPlateau(
        optimizer,
        factor=factor,
        patience=patience,
        threshold=threshold,
        threshold_mode="abs",  # top-1 is handed over negated, where a relative threshold has the wrong sign
        cooldown=cooldown,
        min_lr=min_lr,
    )


@register("scheduler")
def cosine(optimizer: Optimizer, span: Span, *, min_lr: NonNegative = 0.0):
    """Half a cosine from the learning rate down to `min_lr` at the end of training.

    Args:
        min_lr: the rate at the end
    """
    return lr_scheduler.CosineAnnealingLR(optimizer, span.main, min_lr)


@register("scheduler", period="epochs", any_length=True)
def cosine_restarts(
    optimizer: Optimizer, span: Span, *, epochs: Positive = 10.0, multiple: Count = 2, min_lr: NonNegative = 0.0
):
    """Half cosines with warm restarts (Loshchilov & Hutter 2017, arXiv 1608.03983).

    Args:
        epochs: length of the first period, counted from the end of the warm-up
        multiple: each period is this many times as long as the one before
        min_lr: the rate at the end of a period
    """
    first = max(round(epochs * span.per_epoch), 1)
    return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, first, multiple, min_lr)


@register("scheduler")
def one_cycle(
    optimizer: Optimizer,
    span: Span,
    *,
    rise: Fraction = 0.3,
    start: Positive = 25.0,
    end: Positive = 1e4,
    anneal: Literal["cos", "linear"] = "cos",
    cycle_momentum: bool = False,
):
    """Up to the optimizer's learning rate and down again, once (Smith & Topin 2018, arXiv 1708.07120).

    Args:
        rise: share of the steps on the way up
        start: the first rate is the optimizer's rate divided by this
        end: the last rate is the first rate divided by this
        anneal: shape of the way up and of the way down
        cycle_momentum: move momentum (or beta1) from 0.95 to 0.85 and back against the rate
    """
    # torch divides by the length of the rise less one step.
    rise = 0.0 if rise * span.main == 1 else rise
    return lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=span.main,
        pct_start=rise,
        anneal_strategy=anneal,
        cycle_momentum=cycle_momentum,
        div_factor=start,
        final_div_factor=end,
    )
