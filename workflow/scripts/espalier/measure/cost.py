"""The size and the arithmetic of a network."""

import torch
from torch import nn


def params(model: nn.Module) -> int:
    """Numbers that training sets; a tied parameter counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def macs(model: nn.Module, image_size: int, channels: int = 3) -> int:
    """Multiply-accumulates of one image's forward pass, in convolutions, matrix products and attention.

    Half of what torch's counter calls FLOPs; additions alone (normalization, activations, pooling) are not counted.
    """
    from torch.utils.flop_counter import FlopCounterMode

    training = model.training
    model.eval()
    image = torch.zeros(1, channels, image_size, image_size, device=next(model.parameters()).device)
    with FlopCounterMode(display=False) as counter:
        model(image)
    model.train(training)
    return counter.get_total_flops() // 2
