"""One layout of the gradients that several processes add up, for every step of a run."""

import torch
from torch import nn


def settle(model: nn.Module, shape: tuple[int, int, int]) -> None:
    """Have DistributedDataParallel lay out its buckets for good, before the first step that counts.

    It lays them out anew after its first backward pass, in the order in which gradients came. Where three processes or
    more add numbers up, who adds first depends on a number's place, and a resumed run has a first pass of its own: its
    sums would be rounded otherwise than those of a run that was not stopped. So every run begins with a pass that
    nothing remains of; it costs as much as one step.

    Args:
        model: as Accelerate has prepared it, in training mode
        shape: of an image, (C, H, W)
    """
    kept = [buffer.clone() for buffer in model.buffers()]
    # BatchNorm takes a variance, which one image need not have.
    images = torch.zeros(2, *shape, device=next(model.parameters()).device)
    model(images).sum().backward()
    with torch.no_grad():
        for buffer, value in zip(model.buffers(), kept, strict=True):
            buffer.copy_(value)
    model.zero_grad()
