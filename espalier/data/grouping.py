"""Samples sorted by what is to be done with them, so that every operation runs once on all that are its own."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def grouped(rows: Tensor, kinds: Tensor, operations: Sequence[Callable[..., Tensor]], *columns: Tensor) -> Tensor:
    """Apply to each sample the operations that its row of `kinds` names, one after the other; samples are batched by
    kind.

    Args:
        rows: samples (n, ...)
        kinds: int64 (n, k), indices into `operations`, in the order in which they are applied
        operations: take samples, which may be changed in place, and their parameters; return samples of the same shape
        columns: parameters (n, k, ...)
    """
    every = torch.arange(len(operations), device=kinds.device)
    # One synchronization with the device for all steps.
    sizes = (kinds.unsqueeze(2) == every).sum(0).tolist()
    samples = torch.arange(len(rows), device=rows.device)
    for step, counts in enumerate(sizes):
        order = kinds[:, step].index_select(0, samples).argsort()
        samples, rows = samples.index_select(0, order), rows.index_select(0, order)
        parameters = [column[:, step].index_select(0, samples).split(counts) for column in columns]
        for operation, part, *own in zip(operations, rows.split(counts), *parameters, strict=True):
            if len(part):
                done = operation(part, *own)
                if done is not part:
                    part.copy_(done)
    # Not index_copy, which on a CPU writes value by value.
    return rows.index_select(0, samples.argsort())
