"""Step sizes learned with the weights (LSQ, Esser et al. 2019, arXiv 1902.08153)."""

import torch
from torch import Tensor, nn

from espalier.quantization.qparams import QParams


class LearnedStep(nn.Module):
    """Fake quantization whose scale is a parameter; gradients pass straight through the rounding.

    A weight's zeros stay +0.0 and get no gradient, where `kept` says which weights are not zero.

    Args:
        qparams: where the scale begins; zero point and levels stay
        share: elements that share a step, by which its gradient is damped: of a weight's row, or of an image's input
        kept: boolean, of the weight's shape
    """

    def __init__(self, qparams: QParams, share: int, kept: Tensor | None = None) -> None:
        super().__init__()
        self.scale = nn.Parameter(qparams.scale.clone())
        self.register_buffer("zero_point", qparams.zero_point.clone())
        self.register_buffer("kept", kept)
        self.lowest, self.highest = qparams.lowest, qparams.highest
        self.damping = (share * self.highest) ** -0.5

    def forward(self, x: Tensor) -> Tensor:
        scale = _damped(self._positive(), self.damping)
        ends = self.lowest - self.zero_point, self.highest - self.zero_point
        steps = torch.minimum(torch.maximum(x / scale, ends[0]), ends[1])
        quantized = (steps + (steps.round() - steps).detach()) * scale
        return quantized if self.kept is None else quantized.masked_fill(~self.kept, 0.0)

    def qparams(self) -> QParams:
        """The qparams of the present step."""
        return QParams(self._positive().detach().clone(), self.zero_point.clone(), self.lowest, self.highest)

    def _positive(self) -> Tensor:
        return self.scale.abs().clamp(min=torch.finfo(torch.float32).tiny)


def _damped(scale: Tensor, damping: float) -> Tensor:
    """The same number with a smaller gradient."""
    return (scale - scale * damping).detach() + scale * damping
