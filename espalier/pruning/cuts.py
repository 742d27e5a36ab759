"""What each way of pruning does to a network: at the beginning of a round, after a step, and at the end."""

import logging
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from espalier.counted import counted
from espalier.errors import Mistake
from espalier.pruning import layer_shares, weakest
from espalier.pruning.masks import Masks, apply, from_zeros, weights
from espalier.seeding import key

log = logging.getLogger("espalier")

Kept = Mapping[str, Tensor] | None
"""Path of a weight → True where it may be other than zero; None where every weight may."""


@dataclass(frozen=True)
class Subject:
    """A network under the knife; it is changed in place."""

    model: nn.Module
    image_size: int
    channels: int
    seed: int
    """of whatever is chosen at random in this round"""
    control: Literal["random", "scratch"] | None
    gradients: Callable[[nn.Module], None]
    """leaves gradients of the loss on training images in the parameters"""
    correct: Callable[[], int]
    """how many validation images the network answers rightly as it stands"""


class Cut:
    """One way to prune."""

    rounds: int = 1
    """most rounds of cutting and training"""

    def cut(self, subject: Subject, kept: Kept) -> Kept:
        """Cut once, and say which weights may be other than zero from now on; `kept` says it of the round before.

        Raises:
            Mistake: the network cannot be cut so.
        """
        raise NotImplementedError

    def refine(self, subject: Subject, kept: Kept, step: int, steps: int) -> Kept:
        """Which weights may be other than zero after `step` of `steps` of training."""
        return kept

    def eligible(self, epochs: int) -> int:
        """The first epoch of training whose network is pruned as far as it was asked to be."""
        return 1

    def floor(self, before: float) -> float:
        """Lowest validation top-1 in percent with which a round is good, where the network had `before`."""
        return -math.inf

    def finish(self, model: nn.Module, image_size: int, channels: int) -> nn.Module:
        """The network to keep."""
        return model


@dataclass
class Masked(Cut):
    """A ratio of the weights at once."""

    ratio: float
    scope: Literal["layer", "global"]
    layer_floor: float
    exclude: Collection[str]
    shrink: bool
    allocation: Literal["uniform"] | layer_shares.Allocation = field(default="uniform", kw_only=True)

    def cut(self, subject: Subject, kept: Kept) -> Kept:
        masks = self._current_masks(subject.model, kept)
        return self._check(masks, self._next_masks(subject, self.ratio, kept, subject.seed))

    def finish(self, model: nn.Module, image_size: int, channels: int) -> nn.Module:
        if self.shrink:
            from espalier.pruning.zero_channels import shrink

            removed = shrink(model, image_size, channels)
            channels, params = counted(removed.channels, "channel"), counted(removed.params, "parameter")
            log.info("%s of zeros removed, with %s", channels, params)
        return model

    def _check(self, masks: Masks, chosen: Masks) -> Masks:
        """Refuse to call a network pruned that lost nothing."""
        if chosen.kept == masks.kept:
            text = f"ratio {self.ratio} sets no weight to zero that is not zero yet; raise it, or lower layer_floor"
            raise Mistake(f"prune: {text} {self.layer_floor}")
        return chosen

    def _next_masks(self, subject: Subject, ratio: float, kept: Kept, seed: int) -> Masks:
        among = weights(subject.model, self.exclude)
        masks = self._current_masks(subject.model, kept)
        if self.allocation != "uniform":
            return self._allotted_masks(subject, among, masks, round(ratio * masks.total), seed)
        if subject.control == "random":
            return weakest.random(among, ratio, seed, self.scope, self.layer_floor, masks)
        return weakest.magnitude(among, ratio, self.scope, self.layer_floor, masks)

    def _allotted_masks(
        self, subject: Subject, among: Mapping[str, Tensor], masks: Masks, going: int, seed: int
    ) -> Masks:
        """So many weights of all layers together, spread over these as the allocation has it."""
        least = {path: weakest.least(weight, self.layer_floor) for path, weight in among.items()}
        if self.allocation == "gaussian":
            spread = layer_shares.gaussian(len(among))
        elif self.allocation == "erdos_renyi_kernel":
            spread = layer_shares.erdos_renyi_kernel(among)
        else:
            spread = layer_shares.sensitivity(among, masks, self.layer_floor, subject.correct)
        dropped = layer_shares.counts(masks, max(going, masks.total - masks.kept), spread, least)
        return weakest.allotted(among, dropped, masks, seed if subject.control == "random" else None)

    def _current_masks(self, model: nn.Module, kept: Kept) -> Masks:
        """What is kept, of this way's weights; a network that was pruned before holds it in its zeros."""
        return from_zeros(model, self.exclude) if kept is None else Masks(weights(model, self.exclude), kept)


@dataclass
class Iterative(Masked):
    """A ratio of the remaining weights each round, down to a floor on accuracy."""

    rounds: int = 1
    max_drop: float | None = None
    accuracy_floor: float | None = None

    def cut(self, subject: Subject, kept: Kept) -> Kept:
        among, masks = weights(subject.model, self.exclude), self._current_masks(subject.model, kept)
        if self.allocation != "uniform":
            going = masks.total - masks.kept + int(self.ratio * masks.kept)
            chosen = self._allotted_masks(subject, among, masks, going, subject.seed)
        else:
            seed = subject.seed if subject.control == "random" else None
            chosen = weakest.step(among, masks, self.ratio, self.scope, self.layer_floor, seed)
        return self._check(masks, chosen) if kept is None else chosen

    def floor(self, before: float) -> float:
        relative = -math.inf if self.max_drop is None else before - self.max_drop
        return max(relative, -math.inf if self.accuracy_floor is None else self.accuracy_floor)


@dataclass
class Gradual(Masked):
    """A ratio that grows during training."""

    end: float
    every: int

    def cut(self, subject: Subject, kept: Kept) -> Kept:
        final = super().cut(subject, kept)
        # Trained from scratch, the final structure is there from the first step.
        return final if subject.control == "scratch" else self._current_masks(subject.model, kept)

    def refine(self, subject: Subject, kept: Kept, step: int, steps: int) -> Kept:
        last = max(1, math.floor(self.end * steps))
        if subject.control == "scratch" or step > last or (step % self.every and step != last):
            return kept
        return self._next_masks(subject, cubic(0.0, self.ratio, step, 0, last), kept, key(subject.seed, step))

    def eligible(self, epochs: int) -> int:
        return max(1, math.ceil(self.end * epochs))


@dataclass
class Structured(Cut):
    """A ratio of the channels."""

    ratio: float
    importance: str
    scope: Literal["local", "global", "isomorphic"]
    steps: int
    round_to: int | None
    head_ratio: float | None

    def cut(self, subject: Subject, kept: Kept) -> Kept:
        from espalier.pruning.structured import prune

        chance = subject.control == "random"
        prune(
            subject.model,
            subject.image_size,
            self.ratio,
            self.importance,
            self.scope,
            channels=subject.channels,
            steps=self.steps,
            round_to=self.round_to,
            seed=subject.seed,
            drawn=chance,
            gradients=subject.gradients if self.importance == "taylor" and not chance else None,
            head_ratio=self.head_ratio,
        )
        masks = from_zeros(subject.model)
        return masks if masks.kept < masks.total else None


@dataclass
class TwoPhase(Cut):
    """Zeros that weaken channels, then a ratio of the channels; the zeros are free to grow again."""

    zeroed: float
    ratio: float

    def cut(self, subject: Subject, kept: Kept) -> Kept:
        from espalier.pruning.structured import prune

        among = weights(subject.model, kinds=(nn.Conv2d,))
        chance = subject.control == "random"
        apply(
            subject.model,
            weakest.random(among, self.zeroed, subject.seed, floor=None)
            if chance
            else weakest.magnitude(among, self.zeroed, floor=None),
        )
        prune(
            subject.model,
            subject.image_size,
            self.ratio,
            "random" if chance else "l1",
            channels=subject.channels,
            seed=subject.seed,
        )
        return None


def cubic(initial: float, final: float, step: int, begin: int, end: int) -> float:
    """Sparsity at a step, which grows fast while much is redundant, then ever slower.

    Zhu & Gupta 2017, arXiv 1710.01878: `initial` up to the step `begin`, `final` from the step `end` on.
    """
    if end <= begin:
        raise ValueError(f"the schedule ends at step {end}, before or where it begins, {begin}")
    left = 1 - min(max((step - begin) / (end - begin), 0.0), 1.0)
    return final + (initial - final) * left**3
