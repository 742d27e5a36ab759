"""The ways to prune that a study may name. What they do is in the other files of this room."""

from typing import Literal

from espalier.pruning.cuts import Gradual, Iterative, Masked, Structured, TwoPhase
from espalier.settings.registry import register
from espalier.settings.types import Count, Fraction, NonNegative, Parts, Positive, Share


@register("pruning", removes="weights")
def magnitude(
    *,
    ratio: Share = 0.5,
    scope: Literal["layer", "global"] = "layer",
    allocation: Literal["uniform", "gaussian", "erdos_renyi_kernel", "sensitivity"] = "uniform",
    layer_floor: Fraction = 0.01,
    exclude: Parts = (),
    shrink: bool = False,
) -> Masked:
    """The weights of least magnitude set to zero at once, and kept there while the rest is fine-tuned
    (Han et al. 2015, arXiv 1506.02626).

    Args:
        ratio: fraction of the weights of convolutions and linear layers that become zero
        scope: layer takes the ratio of each layer; global compares the weights of all layers
        allocation: with scope layer, how the ratio is spread: uniform is the same for each layer, gaussian most in the
            middle of the depth, erdos_renyi_kernel most of layers of many weights (Evci et al. 2020, arXiv 1911.11134),
            sensitivity so that each layer's cut alone costs as many validation images; together as many weights go
        layer_floor: least fraction of a layer's weights that stays, and never fewer weights than output channels
        exclude: layers left whole: first, classifier
        shrink: at the end remove channels whose weights are all zero, where the outputs stay equal
    """
    return Masked(ratio, scope, layer_floor, exclude, shrink, allocation=allocation)


@register("pruning", removes="weights", rounds=True)
def iterative(
    *,
    ratio: Share = 0.2,
    rounds: Count = 50,
    max_drop: NonNegative | None = 1.0,
    accuracy_floor: Positive | None = None,
    scope: Literal["layer", "global"] = "global",
    allocation: Literal["uniform", "gaussian", "erdos_renyi_kernel", "sensitivity"] = "uniform",
    layer_floor: Fraction = 0.01,
    exclude: Parts = (),
    shrink: bool = False,
) -> Iterative:
    """Rounds of zeroing a fraction of the weights that are left and fine-tuning, until a round ends below the floor
    on validation top-1; the network of the last round above it is kept (Han et al. 2015, arXiv 1506.02626).

    Args:
        ratio: fraction of the remaining weights of convolutions and linear layers that each round sets to zero
        rounds: most rounds
        max_drop: points of validation top-1 that a round may lie below the network before pruning
        accuracy_floor: validation top-1 in percent that a round must reach, whatever the network had before
        scope: layer takes the ratio of each layer; global compares the weights of all layers
        allocation: with scope layer, how the ratio is spread: uniform is the same for each layer, gaussian most in the
            middle of the depth, erdos_renyi_kernel most of layers of many weights (Evci et al. 2020, arXiv 1911.11134),
            sensitivity so that each layer's cut alone costs as many validation images; together as many weights go
        layer_floor: least fraction of a layer's weights that stays, and never fewer weights than output channels
        exclude: layers left whole: first, classifier
        shrink: at the end remove channels whose weights are all zero, where the outputs stay equal
    """
    return Iterative(
        ratio, scope, layer_floor, exclude, shrink, rounds, max_drop, accuracy_floor, allocation=allocation
    )


@register("pruning", removes="weights", trains=True)
def gradual(
    *,
    ratio: Share = 0.5,
    end: Share = 0.5,
    every: Count = 10,
    scope: Literal["layer", "global"] = "layer",
    allocation: Literal["uniform", "gaussian", "erdos_renyi_kernel"] = "uniform",
    layer_floor: Fraction = 0.01,
    exclude: Parts = (),
    shrink: bool = False,
) -> Gradual:
    """More and more weights of least magnitude set to zero during fine-tuning, on a cubic schedule
    (Zhu & Gupta 2017, arXiv 1710.01878); only epochs at the final ratio can be the best.

    Args:
        ratio: fraction of the weights of convolutions and linear layers that are zero at the end
        end: fraction of the fine-tuning after which the ratio is reached
        every: steps between two prunings
        scope: layer takes the ratio of each layer; global compares the weights of all layers
        allocation: with scope layer, how the ratio is spread: uniform is the same for each layer, gaussian most in the
            middle of the depth, erdos_renyi_kernel most of layers of many weights (Evci et al. 2020, arXiv 1911.11134);
            together as many weights go
        layer_floor: least fraction of a layer's weights that stays, and never fewer weights than output channels
        exclude: layers left whole: first, classifier
        shrink: at the end remove channels whose weights are all zero, where the outputs stay equal
    """
    return Gradual(ratio, scope, layer_floor, exclude, shrink, end, every, allocation=allocation)


@register("pruning", removes="channels")
def structured(
    *,
    ratio: Fraction = 0.5,
    head_ratio: Share | None = None,
    importance: Literal["l1", "l2", "filter_l1", "filter_l2", "bn_scale", "lamp", "taylor", "random"] = "l1",
    scope: Literal["local", "global", "isomorphic"] = "local",
    steps: Count = 1,
    round_to: Count | None = None,
) -> Structured:
    """Whole channels, attention dimensions or heads, and hidden units removed, with all that depends on them
    (Fang et al. 2023, arXiv 2301.12900), and the smaller network fine-tuned.

    Args:
        ratio: fraction of the outputs that each layer loses, or all layers of the scope together; 0 for heads alone
        head_ratio: fraction of its heads that each attention loses, at any scope; the heads that stay are left whole.
            With null each head loses the ratio of its dimensions
        importance: what ranks channels: norm of their weights, a mean over all layers that share the channel (l1, l2),
            or of one filter alone, the first that makes it, in attention of the weights that read it (filter_l1,
            filter_l2), scale of their batch normalization, LAMP score, first-order Taylor expansion of the loss on
            training images, or chance
        scope: where channels are ranked and the ratio holds: local in each layer, isomorphic in all layers that are
            coupled alike, global in all layers
        steps: number of prunings that reach the ratio, each ranking anew; heads go before, at once
        round_to: widths become multiples of this
    """
    return Structured(ratio, importance, scope, steps, round_to, head_ratio)


@register("pruning", removes="channels")
def two_phase(*, zeroed: Share = 0.5, ratio: Share = 0.5) -> TwoPhase:
    """The weights of least magnitude of each convolution set to zero, then the channels of least L1 norm removed,
    a mean over all layers that share the channel,
    then the rest trained on, zeros included: the second phase of two, training being the first.

    Args:
        zeroed: fraction of each convolution's weights set to zero, which lowers the norm of their channels
        ratio: fraction of the outputs that each layer loses
    """
    return TwoPhase(zeroed, ratio)
