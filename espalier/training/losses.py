"""Losses by name: each says, for every label that an image could have, what its logits would cost.

Labels, smoothed or of two mixed images, and the weights of classes are laid over that by `espalier.training.objective`,
so that every loss takes all of them.
"""

import torch
from torch import Tensor

from espalier.settings.registry import register
from espalier.settings.types import NonNegative


@register("loss")
def cross_entropy(outputs) -> Tensor:
    """The negative logarithm of the probability of the label."""
    return -outputs.log_softmax(1)


@register("loss")
def focal(outputs, *, gamma: NonNegative = 2.0) -> Tensor:
    """Cross-entropy with less weight on images whose label is probable already (Lin et al. 2017, arXiv 1708.02002).

    The paper's α are the weights of classes, `class_weights`.

    Args:
        gamma: an image's weight is 1 minus the probability of its label, to this power; 0 is cross-entropy
    """
    logarithms = outputs.log_softmax(1)
    # Its power has an endless slope at 0 where gamma is less than 1.
    missing = (1 - logarithms.exp()).clamp(min=torch.finfo(logarithms.dtype).eps)
    return -(missing**gamma) * logarithms
