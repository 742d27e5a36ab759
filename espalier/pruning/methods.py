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
    """Sets the weights of least magnitude to zero, all at once, and keeps them there while the rest is fine-tuned (Han
    et al. 2015, arXiv 1506.02626).

    Args:
        ratio: fraction of the weights of convolutions and linear layers that become zero
        scope: layer: each layer loses its ratio; global: the weights of all layers are compared
        allocation: with scope layer, how the ratio is spread over layers; the total stays the same. uniform: the same
            for each layer; gaussian: most in the middle of the depth; erdos_renyi_kernel: most in layers of many
            weights (Evci et al. 2020, arXiv 1911.11134); sensitivity: so that each layer's cut alone costs equally many
            validation images
        layer_floor: least fraction of a layer's weights that stays; at least as many weights stay as the layer has
            output channels
        exclude: layers that are not pruned
        shrink: at the end remove channels whose weights are all zero, where the network's outputs stay equal
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
    """In rounds, sets a fraction of the remaining weights to zero and fine-tunes, until a round ends below a floor on
    validation top-1; the network of the last round above the floor is kept (Han et al. 2015, arXiv 1506.02626).

    Args:
        ratio: fraction of the remaining weights of convolutions and linear layers that each round sets to zero
        rounds: largest number of rounds
        max_drop: sets the floor: how many points of validation top-1 a round may lie below the network before pruning
        accuracy_floor: sets the floor: validation top-1 in percent that a round must reach, whatever the network had
            before pruning
        scope: layer: each layer loses its ratio; global: the weights of all layers are compared
        allocation: with scope layer, how the ratio is spread over layers; the total stays the same. uniform: the same
            for each layer; gaussian: most in the middle of the depth; erdos_renyi_kernel: most in layers of many
            weights (Evci et al. 2020, arXiv 1911.11134); sensitivity: so that each layer's cut alone costs equally many
            validation images
        layer_floor: least fraction of a layer's weights that stays; at least as many weights stay as the layer has
            output channels
        exclude: layers that are not pruned
        shrink: at the end remove channels whose weights are all zero, where the network's outputs stay equal
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
    """Sets more and more weights of least magnitude to zero during fine-tuning, on a cubic schedule (Zhu & Gupta 2017,
    arXiv 1710.01878). Only epochs at the final ratio can be the best epoch.

    Args:
        ratio: fraction of the weights of convolutions and linear layers that are zero at the end
        end: fraction of the fine-tuning after which the ratio is reached
        every: steps between two prunings
        scope: layer: each layer loses its ratio; global: the weights of all layers are compared
        allocation: with scope layer, how the ratio is spread over layers; the total stays the same. uniform: the same
            for each layer; gaussian: most in the middle of the depth; erdos_renyi_kernel: most in layers of many
            weights (Evci et al. 2020, arXiv 1911.11134)
        layer_floor: least fraction of a layer's weights that stays; at least as many weights stay as the layer has
            output channels
        exclude: layers that are not pruned
        shrink: at the end remove channels whose weights are all zero, where the network's outputs stay equal
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
    """Removes whole channels, attention dimensions or heads, and hidden units, with all that depends on them (Fang et
    al. 2023, arXiv 2301.12900), and fine-tunes the smaller network.

    Args:
        ratio: fraction of the outputs that each layer loses (scope local), or that the layers of the scope lose
            together; 0 removes heads only
        head_ratio: fraction of its heads that each attention loses, at any scope; the heads that stay are left whole.
            null: each head loses the ratio of its dimensions instead
        importance: what channels are ranked by. l1, l2: norm of their weights, a mean over all layers that share the
            channel; filter_l1, filter_l2: norm of one filter alone, the first that makes the channel, in attention of
            the weights that read it; bn_scale: scale of their batch normalization; lamp: LAMP score; taylor:
            first-order Taylor expansion of the loss on training images; random: chance
        scope: among which channels the ranking is made and the ratio holds. local: those of each layer; isomorphic:
            those of all layers that are coupled alike; global: those of all layers
        steps: number of prunings in which the ratio is reached, each with a new ranking; heads are removed before, all
            at once
        round_to: widths become multiples of this; null: any width
    """
    return Structured(ratio, importance, scope, steps, round_to, head_ratio)


@register("pruning", removes="channels")
def two_phase(*, zeroed: Share = 0.5, ratio: Share = 0.5) -> TwoPhase:
    """Sets the weights of least magnitude of each convolution to zero, then removes the channels of least L1 norm (a
    mean over all layers that share the channel), then trains what is left, zeros included. This is the second of two
    phases; training is the first.

    Args:
        zeroed: fraction of each convolution's weights that is set to zero, which lowers the norms of their channels
        ratio: fraction of the outputs that each layer loses
    """
    return TwoPhase(zeroed, ratio)
