"""Folded networks give the same outputs, in every family, and nothing is folded that something else reads."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from espalier.quantization.folding import fold, foldable
from espalier.quantization.weights import nearest
from support.pruned_networks import NAMES, built, size

WITHOUT = {"cct", "cct-sine", "cct-none", "cvt", "cvt-sine", "lenet", "mlp", "squeezenet", "squeezenet-wide"}
"""Networks without batch normalization."""


@pytest.mark.parametrize("name", [*NAMES, "thriftynet"])
def test_outputs_stay(name):
    model = built(name).double().eval()
    images = torch.randn(2, 3, size(name), size(name), dtype=torch.float64)
    expected = model(images)
    pairs = foldable(model, images[:1])
    # A convolution that is used again and again has many normalizations; sums and dense blocks are read twice.
    assert bool(pairs) == (name not in WITHOUT | {"thriftynet"})
    norms = sum(isinstance(module, _BatchNorm) for module in model.modules())
    folded = fold(copy.deepcopy(model), pairs)
    assert sum(isinstance(module, _BatchNorm) for module in folded.modules()) == norms - len(pairs)
    torch.testing.assert_close(folded(images), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(model(images), expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["mobilenetv2", "resnet", "googlenet", "shufflenetv2", "regnetx"])
def test_every_normalization_after_a_convolution_goes(name):
    model = built(name)
    pairs = foldable(model, torch.zeros(1, 3, size(name), size(name)))
    assert len(pairs) == sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


class Shared(nn.Module):
    """A convolution whose output is read beside its normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.last, self.free = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 4), None
        self.normalized = nn.BatchNorm1d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.conv(x)
        out = (self.norm(out) + out.sigmoid()).mean((2, 3))
        return self.normalized(self.last(out))


def test_what_something_else_reads_stays():
    model = Shared().eval()
    assert foldable(model, torch.randn(1, 3, 4, 4)) == {"last": "normalized"}
    assert isinstance(fold(model, {"last": "normalized"}).normalized, nn.Identity)


def test_folding_keeps_the_levels_of_a_channel():
    model = built("mobilenetv2")
    path, norm = next(iter(foldable(model, torch.zeros(1, 3, 8, 8)).items()))
    with torch.no_grad():
        model.get_submodule(norm).weight[::2] *= -1
    signs = model.get_submodule(norm).weight.sign()[:, None, None, None]
    before = nearest(model.get_submodule(path).weight, 4, "channel").levels
    fold(model, {path: norm})
    after = nearest(model.get_submodule(path).weight, 4, "channel").levels
    assert torch.equal(after, (before * signs).int())
