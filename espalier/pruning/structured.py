"""Channels, attention dimensions and hidden units removed, with everything that depends on them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from espalier.errors import Mistake
from espalier.metrics.cost import params
from espalier.models.facts import heads_left, prunable
from espalier.pruning import heads
from espalier.pruning.graph import pruner, torch_pruning, traceable
from espalier.seeding import key

if TYPE_CHECKING:
    from torch_pruning.dependency import Group

Importance = Literal["l1", "l2", "filter_l1", "filter_l2", "bn_scale", "lamp", "taylor", "random"]
Scope = Literal["local", "global", "isomorphic"]


def prune(
    model: nn.Module,
    image_size: int,
    ratio: float,
    importance: Importance = "l1",
    scope: Scope = "local",
    *,
    channels: int = 3,
    steps: int = 1,
    round_to: int | None = None,
    seed: int = 0,
    drawn: bool = False,
    gradients: Callable[[nn.Module], None] | None = None,
    head_ratio: float | None = None,
) -> nn.Module:
    """Remove the least important outputs of layers, in place, by Torch-Pruning (Fang et al. 2023, arXiv 2301.12900).

    At scope local each layer keeps int(n · (1 - ratio)) of its n outputs (counted for each head of an attention and
    each group of a convolution). Scope global ranks the channels of all layers together; isomorphic ranks those of
    layers that are coupled alike (Fang et al. 2024, arXiv 2407.04616).

    These stay whole: the classifier, layers that the network's facts call unprunable, layers coupled to one of these,
    layers of one output, and, for bn_scale, layers without batch normalization.

    Parameters are new objects afterwards, so make the optimizer after pruning. On the meta device only random choices
    work, which tells how many parameters are left.

    Args:
        channels: of the images
        steps: number of prunings that reach the ratio, each with a new ranking
        round_to: widths become multiples of it, by removing more
        seed: of random choices
        drawn: choose at random among the channels that the importance would rank, as its control
        gradients: called before each step of taylor, and before heads are removed; it leaves `grad` on the parameters
        head_ratio: fraction of the heads that each attention loses first, at once and at any scope; heads that stay
            keep their dimensions

    Raises:
        Mistake: the ratio is not between 0 and 1, no layer may be pruned, a layer would be left without outputs, or
            nothing was removed.
    """
    _refuse(model, ratio, importance, scope, head_ratio)
    if (importance == "taylor" and not drawn) != (gradients is not None):
        raise ValueError("taylor needs a function that leaves gradients, and nothing else does")
    before = params(model)
    options = {
        "iterative_steps": steps,
        "round_to": round_to,
        "global_pruning": scope != "local",
        "isomorphic": scope == "isomorphic",
    }
    score = _score(importance, seed, drawn)

    def graded() -> None:
        if gradients is not None:
            model.zero_grad()
            gradients(model)

    with traceable(model):
        if head_ratio is not None:
            graded()
            heads.remove(model, image_size, head_ratio, score, channels=channels)
        if ratio:
            kept = () if head_ratio is None else heads_left(model)
            chosen = pruner(model, image_size, score, ratio, channels=channels, kept=kept, **options)
            for _ in range(steps):
                graded()
                chosen.step()
    model.zero_grad()
    if params(model) == before:
        why, mend = "", "give a higher ratio"
        if importance == "bn_scale":
            why, mend = " of layers with batch normalization", f"{mend}, or another importance if there are none"
        raise Mistake(f"{type(model).__name__}: pruning at ratio {ratio} removed no output{why}; {mend}")
    return model


def _refuse(model: nn.Module, ratio: float, importance: str, scope: str, head_ratio: float | None) -> None:
    if not 0 < ratio < 1 and not (ratio == 0 and head_ratio):
        raise Mistake(f"pruning ratio {ratio}: give the fraction of outputs to remove, above 0 and below 1")
    if not prunable(model):
        raise Mistake(
            f"{type(model).__name__}: every layer must keep the number of its outputs, so that no channel can be "
            "removed; prune weights instead, or choose another model"
        )
    for word, known in ((importance, Importance), (scope, Scope)):
        if word not in get_args(known):
            raise ValueError(f"{word!r} is none of {', '.join(get_args(known))}")


def _score(importance: Importance, seed: int, drawn: bool) -> "Callable[[Group], Tensor | None]":
    if drawn or importance == "random":
        return _Chance(seed, normalized=importance == "bn_scale")
    known = torch_pruning().importance
    return {
        "l1": known.MagnitudeImportance(p=1),
        "l2": known.MagnitudeImportance(p=2),
        "filter_l1": known.MagnitudeImportance(p=1, group_reduction="first"),
        "filter_l2": known.MagnitudeImportance(p=2, group_reduction="first"),
        "bn_scale": known.BNScaleImportance(),
        "lamp": known.LAMPImportance(),
        "taylor": known.TaylorImportance(),
    }[importance]


class _Chance:
    """Scores drawn for each group in turn; torch_pruning's own come from global state.

    Args:
        normalized: groups without batch normalization have none, and stay whole
    """

    def __init__(self, seed: int, normalized: bool) -> None:
        self.rng = np.random.Generator(np.random.PCG64(key(seed, "prune channels")))
        self.normalized = normalized

    def __call__(self, group: "Group") -> Tensor | None:
        if self.normalized and not any(isinstance(dep.layer, _BatchNorm) for dep, _ in group):
            return None
        return torch.from_numpy(self.rng.random(len(group[0].idxs)))
