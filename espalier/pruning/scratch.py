"""The pruned structure with new weights: the control that asks whether the old ones were worth keeping."""

from typing import Any

import torch
from torch import nn

from espalier.pruning.shapes import rebuild


@torch.no_grad()
def initialized(fresh: nn.Module, widths: dict[str, Any]) -> nn.Module:
    """A freshly initialized network cut to `widths`, in place (Liu et al. 2019, arXiv 1810.05270).

    Every tensor is the corner of the network's own initialization, weights scaled so that the variance of a layer's
    outputs stays what it was with more inputs; so each family keeps its way to initialize.
    """
    full = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    model = rebuild(fresh, widths)
    for name, tensor in model.state_dict().items():
        old = full[name]
        corner = old[tuple(slice(size) for size in tensor.shape)]
        narrowed = tensor.dim() > 1 and name.endswith("weight")
        tensor.copy_(corner * (old[0].numel() / tensor[0].numel()) ** 0.5 if narrowed else corner)
    return model
