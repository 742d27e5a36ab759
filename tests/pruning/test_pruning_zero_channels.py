"""Channels of zeros: gone where the outputs stay equal, kept where they would not."""

import copy

import pytest
import torch
from torch import nn

from espalier.metrics.cost import params
from espalier.models.cct import cct
from espalier.models.densenet import densenet
from espalier.models.mobilenetv2 import mobilenetv2
from espalier.models.regnet import regnetx
from espalier.models.resnet import resnet
from espalier.pruning.zero_channels import shrink


def network(kind=resnet, **settings):
    torch.manual_seed(0)
    model = kind(10, 8, **settings).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.bias, 0.1, 0.5)
    return model


@torch.no_grad()
def silence(norm, channels):
    """What a filter of zeros becomes is zero."""
    norm.running_mean[channels] = norm.bias[channels] = 0


def shrunk(model):
    """What was removed, the outputs being equal before and after."""
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        expected = model(images)
        whole = params(model)
        removed = shrink(model, 8)
        torch.testing.assert_close(model(images), expected, rtol=1e-12, atol=1e-12)
    assert params(model) == whole - removed.params
    return removed


def test_a_network_without_zeros_stays_whole():
    assert shrunk(network()) == (0, 0)


def test_channels_that_nobody_reads_go():
    model = network()
    with torch.no_grad():
        model.stages[0].conv2.weight[:, [1, 4, 5]] = 0
    # filters of 16 weights 3x3, their normalizations, the columns that read them
    assert shrunk(model) == (3, 3 * (9 * 16 + 2 + 9 * 16))
    assert model.stages[0].conv1.out_channels == 13


def test_channels_that_are_always_zero_go():
    model = network()
    with torch.no_grad():
        model.stages[1].conv1.weight[[0, 7]] = 0
    silence(model.stages[1].bn1, [0, 7])
    assert shrunk(model) == (2, 2 * (9 * 16 + 2 + 9 * 32))


def test_a_constant_below_zero_is_zero_behind_the_activation():
    model = network()
    with torch.no_grad():
        model.stages[1].conv1.weight[3] = 0
        model.stages[1].bn1.running_mean[3] = 0
        model.stages[1].bn1.bias[3] = -0.5
    assert shrunk(model).channels == 1


def test_a_constant_above_zero_stays():
    model = network()
    with torch.no_grad():
        model.stages[1].conv1.weight[3] = 0
        model.stages[1].bn1.running_mean[3] = 0
    assert shrunk(model) == (0, 0)


def test_a_channel_that_stays_does_not_hold_others():
    model = network()
    with torch.no_grad():
        model.stages[1].conv1.weight[[3, 4]] = 0
    silence(model.stages[1].bn1, [4])
    assert shrunk(model).channels == 1


def test_channels_beside_grouped_convolutions_go():
    model = network(regnetx)
    with torch.no_grad():
        model.s1.b1.conv1.conv.weight[:, 3] = model.s1.b1.downsample.conv.weight[:, 3] = 0
        model.s1.b1.conv2.conv.weight.zero_()
    assert shrunk(model).channels == 1


def test_channels_beside_attention_go():
    model = network(cct, layers=1, heads=1, dim=8, mlp_ratio=1.0)
    block = model.blocks[0]
    with torch.no_grad():
        block.attention.proj.weight[:, 2] = 0
        block.mlp[3].weight[:, 5] = 0
    assert shrunk(model) == (1, 8 + 1 + 8)


def test_a_channel_that_is_zero_on_these_images_only_stays():
    model = network()
    with torch.no_grad():
        model.stages[1].bn1.bias[3] = -1e6
    assert shrunk(model) == (0, 0)


def test_a_residual_channel_goes_when_every_layer_that_writes_it_is_zero():
    model = network(blocks=(1,), channels=(8,))
    block = model.stages[0]
    with torch.no_grad():
        block.conv2.weight[2] = 0
    silence(block.bn2, [2])
    assert shrunk(model) == (0, 0)
    with torch.no_grad():
        model.stem[0].weight[2] = 0
    silence(model.stem[1], [2])
    assert shrunk(model) == (1, 27 + 2 + 9 * 8 + 9 * 8 + 2 + 10)


@pytest.mark.parametrize("part", ["expansion", "depthwise", "projection"])
def test_hidden_channels_of_an_inverted_residual_go(part):
    model = network(mobilenetv2)
    block = model.features[2].conv
    with torch.no_grad():
        if part == "expansion":
            block[0][0].weight[[1, 5]] = 0
            silence(block[0][1], [1, 5])
            silence(block[1][1], [1, 5])
        elif part == "depthwise":
            block[1][0].weight[[1, 5]] = 0
            silence(block[1][1], [1, 5])
        else:
            block[2].weight[:, [1, 5]] = 0
    assert shrunk(model) == (2, 2 * (16 + 2 + 9 + 2 + 24))


def test_zeros_make_zeros_until_none_are_left():
    model = network(blocks=(1,), channels=(8,))
    block = model.stages[0]
    with torch.no_grad():
        block.conv2.weight[:, 0] = 0
        block.conv1.weight[1:, 3] = 0
        block.bn2.weight[3] = 0
        model.classifier.weight[:, 3] = 0
    # Channel 3 of the residual stream is read by the filter that goes first.
    removed = shrunk(model)
    assert removed.channels == 2
    assert model.stem[0].out_channels == 7


def test_one_channel_of_a_layer_stays():
    model = network()
    with torch.no_grad():
        model.stages[0].conv2.weight.zero_()
    assert shrunk(model).channels == 15
    assert model.stages[0].conv1.out_channels == 1


def test_concatenated_channels_go():
    model = network(densenet, blocks=(2, 2), growth_rate=4)
    layer = model.features.denseblock1.denselayer1
    with torch.no_grad():
        layer.conv1.weight[[0, 3]] = 0
    silence(layer.norm2, [0, 3])
    assert shrunk(model) == (2, 2 * (8 + 2 + 9 * 4))


def test_the_network_is_untouched_where_outputs_would_differ(monkeypatch):
    from espalier.pruning import zero_channels

    model = network()
    weights = copy.deepcopy(model.state_dict())
    monkeypatch.setattr(zero_channels, "_needed", lambda group, seen: {0, 1, 2})
    assert shrink(model, 8) == (0, 0)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
