"""Compensated rounding: less error of outputs, zeros that stay, plain rounding where nothing is to be gained."""

import pytest
import torch
from torch import nn

from espalier.quantization.compensation import compensated
from espalier.quantization.hessian import hessians, patches
from espalier.quantization.inputs import Inputs
from espalier.quantization.weights import nearest

LAYERS = {
    "linear": lambda: nn.Linear(20, 12),
    "pointwise": lambda: nn.Conv2d(16, 12, 1),
    "dense": lambda: nn.Conv2d(4, 12, 3, stride=2, padding=1, dilation=2),
    "depthwise": lambda: nn.Conv2d(12, 12, 3, padding=1, groups=12),
    "doubled": lambda: nn.Conv2d(6, 12, 3, padding=1, groups=6),
    "grouped": lambda: nn.Conv2d(8, 12, 3, padding="same", groups=2),
    "reflected": lambda: nn.Conv2d(4, 12, 5, padding=2, padding_mode="reflect"),
}


def made(name: str, sparsity: float) -> tuple[nn.Module, torch.Tensor]:
    """A layer with zeros, and correlated inputs for it."""
    torch.manual_seed(3)
    layer = LAYERS[name]()
    with torch.no_grad():
        layer.weight[torch.rand_like(layer.weight) < sparsity] = 0.0
        if sparsity:
            layer.weight[2] = 0.0
    if isinstance(layer, nn.Linear):
        return layer, (torch.randn(300, 5) @ torch.randn(5, 20) + 0.3 * torch.randn(300, 20)).relu()
    x = torch.randn(8, layer.in_channels, 3, 3).repeat_interleave(4, 2).repeat_interleave(4, 3)
    x = torch.einsum("bchw,dc->bdhw", x, torch.randn(layer.in_channels, layer.in_channels))
    return layer, (x + 0.3 * torch.randn_like(x)).relu()


@pytest.mark.parametrize("name", LAYERS)
def test_patches_times_weights_are_the_outputs(name):
    layer, x = made(name, 0.0)
    columns = patches(layer, x)
    rows = layer.weight.flatten(1).unflatten(0, (len(columns), -1))
    bias = layer.bias.unflatten(0, (len(columns), -1))[:, :, None]
    out = (rows @ columns + bias).flatten(0, 1)
    expected = layer(x).movedim(-1 if isinstance(layer, nn.Linear) else 1, 0).flatten(1)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("bits", [2, 4])
def test_outputs_err_less_and_zeros_stay(name, sparsity, bits):
    layer, x = made(name, sparsity)
    columns = patches(layer, x)
    moments = columns @ columns.transpose(1, 2) / columns.shape[2]
    plain = nearest(layer.weight, bits, "channel", "mse")
    found = compensated(layer.weight, moments, plain.qparams)

    def error(weight: torch.Tensor) -> float:
        rows = (weight - layer.weight.detach()).flatten(1).unflatten(0, (len(columns), -1))
        return float((rows @ columns).square().sum())

    assert not found.levels[layer.weight == 0].any()
    assert found.qparams.lowest <= found.levels.min() and found.levels.max() <= found.qparams.highest
    assert found.levels.shape == layer.weight.shape
    assert error(found.dequantize()) <= (0.9 if sparsity == 0 else 1.0) * error(plain.dequantize())


def test_inputs_that_do_not_correlate_leave_nothing_to_gain():
    for sparsity in (0.0, 0.5):
        layer, _ = made("grouped", sparsity)
        plain = nearest(layer.weight, 3, "tensor")
        diagonal = torch.diag(torch.linspace(0, 2, 36)).expand(2, 36, 36)
        assert torch.equal(compensated(layer.weight, diagonal, plain.qparams).levels, plain.levels)


def test_two_weights_that_always_see_the_same_share_an_error():
    weight = torch.tensor([[0.4, 0.4, 7.0]])
    moments = torch.tensor([[[1.0, 0.9999, 0.0], [0.9999, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    qparams = nearest(weight, 4, "channel").qparams
    assert compensated(weight, moments, qparams).levels.tolist() in ([[0, 1, 7]], [[1, 0, 7]])


def test_scales_are_fitted_to_the_levels():
    layer, x = made("linear", 0.5)
    moments = (x.T @ x)[None] / len(x)
    found = compensated(layer.weight, moments, nearest(layer.weight, 3, "channel").qparams)
    damped = moments[0] + 0.01 * moments[0].diagonal().mean() * torch.eye(20)
    for level, weight, scale in zip(found.levels.float(), layer.weight, found.qparams.scale.flatten(), strict=True):
        if level.any():
            best = torch.dot(level @ damped, weight) / torch.dot(level @ damped, level)
            torch.testing.assert_close(scale, best, rtol=1e-3, atol=0)


READERS = LAYERS | {
    "depthwise strided": lambda: nn.Conv2d(12, 12, (3, 2), stride=(2, 1), padding=1, dilation=(1, 2), groups=12),
    "depthwise reflected": lambda: nn.Conv2d(4, 4, 5, padding=2, padding_mode="reflect", groups=4),
    "pointwise strided": lambda: nn.Conv2d(16, 12, 1, stride=2),
}


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", READERS)
def test_moments_are_means_over_all_images(name, form):
    torch.manual_seed(3)
    layer = READERS[name]()
    if isinstance(layer, nn.Linear):
        x = torch.randn(8, 20) + 40
    else:
        x = (torch.randn(8, layer.in_channels, 12, 11) + 40).contiguous(memory_format=form)
    model = nn.Sequential(layer, nn.ReLU())
    found = hessians(model, Inputs(model), x.split(3))["0"]
    columns = patches(layer, x).double()
    torch.testing.assert_close(found, (columns @ columns.transpose(1, 2) / columns.shape[2]).float())
    centred = hessians(model, Inputs(model), x.split(3), ["0"])["0"]
    expected = torch.stack([one.cov(correction=0) for one in columns]).float()
    torch.testing.assert_close(centred, expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-4)
