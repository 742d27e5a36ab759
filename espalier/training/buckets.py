"""One layout of the gradients that several processes add up, for every step of a run."""

import torch
from torch import nn


def settle(model: nn.Module, shape: tuple[int, int, int]) -> None:
    """Fix the gradient buckets of DistributedDataParallel before the first training step.

    DistributedDataParallel rearranges its buckets after its first backward pass, by the order in which gradients
    arrived. With three or more processes the order of summation, and so the rounding, depends on a gradient's place in
    its bucket. A resumed run has a first pass of its own, and would round otherwise than a run that was not stopped. So
    every run begins with a pass whose results are thrown away; it costs as much as one step.

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
