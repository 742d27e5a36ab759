"""How much the logits move when the outputs of a layer do."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from espalier.metrics.cost import weighted
from espalier.quantization.hessian import patches
from espalier.site.device import exact


def sensitivities(model: nn.Module, batches: Iterable[Tensor], seed: int = 0) -> dict[str, Tensor]:
    """Path of a layer → what an error of each row of its weight does to the logits, float64 (rows,) on the CPU.

    The mean square of the change of the logits, summed over classes, is about g eᵀ H e for an error e of a row, with g
    the number here and H the mean of x xᵀ over what the layer reads. It is measured: the logits of an image are added
    up with random signs, and the mean square over images of the gradient with respect to the row's weights is set
    against the diagonal of H. The places of an image add up within the gradient, as an error of a weight does. (The
    diagonal of the Fisher information is made so of the loss, whose gradient vanishes on images that are learned.)

    Args:
        batches: images, float32 (b, C, H, W), on the network's device
    """
    layers = weighted(model)
    seen = {path: _Seen(layer) for path, layer in layers.items()}
    draws = torch.Generator().manual_seed(seed)
    hooks = [layer.register_forward_hook(seen[path].watch) for path, layer in layers.items()]
    wanted = {parameter: parameter.requires_grad for parameter in model.parameters()}
    try:
        model.eval().requires_grad_(False)
        for batch in batches:
            with torch.enable_grad():
                logits = model(batch.detach().clone().requires_grad_())
                signs = torch.randint(0, 2, logits.shape, generator=draws).to(logits) * 2 - 1
                (logits * signs).sum().backward()
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, before in wanted.items():
            parameter.requires_grad_(before)
    return {path: one.of_rows() for path, one in seen.items() if one.images}


class _Seen:
    """Squares that have gone through a layer, of what it reads and of the gradients of its weights."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer, self.images, self.places = layer, 0, 0
        self._gradients: Tensor | float = 0.0
        self._inputs: Tensor | float = 0.0

    def watch(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """A forward hook, which waits for the gradient of the output."""
        x = inputs[0].detach()
        output.register_hook(lambda gradient: self._add(x, gradient))

    def _add(self, x: Tensor, gradient: Tensor) -> None:
        wide = exact(x.device)
        for image, arrived in zip(x.split(1), gradient.split(1), strict=True):
            read = patches(self.layer, image)
            if isinstance(self.layer, nn.Linear):
                arrived = arrived.transpose(1, -1)
            arrived = arrived.reshape(len(read), -1, read.shape[2])
            self._gradients += (arrived @ read.transpose(1, 2)).square().flatten(0, 1).to(wide)
            self._inputs += read.square().sum(2).to(wide)
            self.places += read.shape[2]
        self.images += len(x)

    def of_rows(self) -> Tensor:
        gradients, inputs = self._gradients.cpu().double() / self.images, self._inputs.cpu().double() / self.places
        kept = self.layer.weight.detach().cpu().flatten(1) != 0
        there = (inputs.repeat_interleave(len(kept) // len(inputs), dim=0) * kept).sum(1)
        found = (gradients * kept).sum(1) / there.clamp(min=torch.finfo(torch.float64).tiny)
        return torch.where(there > 0, found, 0.0)
