"""What happens to the inputs of convolutions and linear layers on their way in."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from espalier.metrics.cost import weighted
from espalier.quantization.histogram import Histogram, in_memory_order, pieces
from espalier.quantization.qparams import QParams, choose_qparams, extent, fake_quantize, moved

Passed = Callable[[Tensor], Tensor]


class Inputs:
    """One switch for the activations of a network: forward pre-hooks that hand each layer's input to a function.

    Products of attention and additions of shortcuts are no such layers and stay in floats.
    """

    def __init__(self, model: nn.Module) -> None:
        self.layers = weighted(model)
        self._through: Mapping[str, Passed] = {}
        self._hooks = [layer.register_forward_pre_hook(self._hook(path)) for path, layer in self.layers.items()]

    def off(self) -> None:
        """Leave the inputs as they are."""
        self._through = {}

    def dynamic(self, bits: Mapping[str, int]) -> None:
        """Quantize per tensor, symmetrically, over the range of each batch; layers that are not named stay as is."""

        def through(bits: int) -> Passed:
            return lambda x: _on_levels(x, choose_qparams(*extent(in_memory_order(x)), bits, symmetric=True))

        self._through = {path: through(each) for path, each in bits.items()}

    def static(self, qparams: Mapping[str, QParams]) -> None:
        """Quantize by fixed qparams; layers that are not named stay as they are."""

        def through(qparams: QParams) -> Passed:
            # The network may be moved after its levels were put in.
            there: dict[torch.device, QParams] = {}

            def passed(x: Tensor) -> Tensor:
                if x.device not in there:
                    there[x.device] = moved(qparams, x.device)
                return _on_levels(x, there[x.device])

            return passed

        self._through = {path: through(each) for path, each in qparams.items()}

    @torch.no_grad()
    def observe(self, model: nn.Module, batches: Iterable[Tensor], look: Callable[[str, Tensor], None]) -> None:
        """Run a network in evaluation mode and call `look` with path and input of every layer; then switch off."""

        def through(path: str) -> Passed:
            def passed(x: Tensor) -> Tensor:
                look(path, x)
                return x

            return passed

        model.eval()
        self._through = {path: through(path) for path in self.layers}
        try:
            for images in batches:
                model(images)
        finally:
            self.off()

    def histograms(self, model: nn.Module, batches: Iterable[Tensor]) -> dict[str, Histogram]:
        """Path → how often each value is read, over all batches."""
        found = {path: Histogram() for path in self.layers}
        self.observe(model, batches, lambda path, x: found[path].add(x))
        return {path: seen for path, seen in found.items() if seen.counts is not None}

    def remove(self) -> None:
        """Take the hooks out of the network."""
        for hook in self._hooks:
            hook.remove()

    def _hook(self, path: str) -> Callable:
        def hand(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
            through = self._through.get(path)
            return through and (through(inputs[0]), *inputs[1:])

        return hand


def _on_levels(x: Tensor, qparams: QParams) -> Tensor:
    """The numbers of `fake_quantize`, which on a CPU takes ten times as long: it is not vectorized and keeps a mask."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or (torch.is_grad_enabled() and x.requires_grad):
        return fake_quantize(x, qparams)
    out = torch.empty_like(x)
    if out.stride() != x.stride():
        x = x.contiguous()
        out = torch.empty_like(x)
    scale, zero_point, (lowest, highest) = qparams.scale, int(qparams.zero_point), qparams[2:]
    inverse = 1 / scale
    for piece, levels in zip(pieces(in_memory_order(x)), pieces(in_memory_order(out)), strict=True):
        torch.mul(piece, inverse, out=levels)
        levels.round_().clamp_(lowest - zero_point, highest - zero_point).mul_(scale)
    return out
