"""Inputs on levels: the numbers of torch's own operation, however the tensor lies in memory."""

import pytest
import torch
from torch import nn

from espalier.quantization.inputs import Inputs
from espalier.quantization.qparams import choose_qparams, extent, fake_quantize


def lying(how: str) -> torch.Tensor:
    """Numbers beyond both ends of the levels, with negative zeros among them, more than fit in one piece."""
    x = 3 * torch.randn(3, 8, 60, 70, generator=torch.Generator().manual_seed(1))
    x[0, :, :5] = -0.0
    if how == "channels last":
        return x.contiguous(memory_format=torch.channels_last)
    if how == "with gaps":
        return x[:, ::2, 1:, :-3]
    if how == "expanded":
        return x[:, :1].expand(3, 8, 60, 70)
    return x.flatten() if how == "flat" else x


class Kept(nn.Linear):
    """A layer whose output is its input."""

    def __init__(self) -> None:
        super().__init__(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("how", ["contiguous", "channels last", "with gaps", "expanded", "flat"])
def test_levels_are_those_of_torch(how, symmetric, bits):
    x = lying(how)
    before = x.clone()
    model = nn.Sequential(Kept())
    inputs = Inputs(model)
    qparams = choose_qparams(torch.tensor(-4.0), torch.tensor(5.0), bits, symmetric=symmetric)
    inputs.static({"0": qparams})
    assert torch.equal(model(x), fake_quantize(x, qparams))
    assert torch.equal(x, before)
    inputs.dynamic({"0": bits})
    assert torch.equal(model(x), fake_quantize(x, choose_qparams(*extent(x), bits, symmetric=True)))


def test_gradients_pass_as_they_do_in_torch():
    x = lying("flat").requires_grad_()
    model = nn.Sequential(Kept())
    inputs = Inputs(model)
    qparams = choose_qparams(torch.tensor(-4.0), torch.tensor(5.0), 4, symmetric=False)
    inputs.static({"0": qparams})
    model(x).sum().backward()
    expected = lying("flat").requires_grad_()
    fake_quantize(expected, qparams).sum().backward()
    assert 0 < expected.grad.mean() < 1
    assert torch.equal(x.grad, expected.grad)
