import pytest
import torch

from espalier.models.lenet import lenet
from espalier.models.mlp import mlp
from espalier.models.resnet import resnet
from espalier.models.rules import smallest
from espalier.settings.registry import entries


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("model", "params"),
    [
        (lambda: lenet(10, 32), 62_006),
        (lambda: lenet(10, 32, 1), 61_706),
        (lambda: lenet(10, 28, 1, filters=(20, 50), hidden=(500,)), 431_080),
        (lambda: mlp(10, 28, 1, hidden=(300, 100)), 266_610),
        (lambda: mlp(10, 16, hidden=(64,)), 3 * 256 * 64 + 64 + 64 * 10 + 10),
        (lambda: mlp(10, 8, hidden=(32, 16)), 192 * 32 + 32 + 32 * 16 + 16 + 16 * 10 + 10),
    ],
)
def test_parameters_are_those_of_the_closed_form(model, params):
    assert count(model()) == params


@pytest.mark.parametrize("name", entries("model"))
@pytest.mark.parametrize("size", [16, 20, 32])
def test_every_model_trains_every_parameter_at_any_size(name, size):
    torch.manual_seed(0)
    size = max(size, smallest(entries("model")[name]))
    model = entries("model")[name].load()(7, size)
    logits = model(torch.randn(4, 3, size, size))
    assert logits.shape == (4, 7)
    logits.square().sum().backward()
    for label, parameter in model.named_parameters():
        assert parameter.grad is not None, label
        assert parameter.grad.abs().sum() > 0, label


@torch.no_grad()
@pytest.mark.parametrize("name", entries("model"))
def test_every_model_reads_images_of_any_channels(name):
    """As many weights of the first layer for each channel; the rest of the network is the same."""
    entry = entries("model")[name]
    side = max(16, smallest(entry))
    usual = entry.load()(7, side, 3).state_dict()
    for channels in (1, 2, 4):
        model = entry.load()(7, side, channels)
        # Not on the meta device, where normalization takes longer than on images so small.
        assert model(torch.zeros(2, channels, side, side)).shape == (2, 7)
        own = model.state_dict()
        shapes = {key: (one.shape, own[key].shape) for key, one in usual.items()}
        differing = {key: pair for key, pair in shapes.items() if pair[0] != pair[1]}
        first = f"{model.facts.first}.weight"
        assert differing.keys() == ({first} if name != "thriftynet" else set())
        assert all(3 * found.numel() == channels * before.numel() for before, found in differing.values())


@pytest.mark.parametrize("name", [name for name in entries("model") if name not in ("mlp", "thriftynet")])
def test_a_first_layer_for_other_channels_starts_with_the_variance_of_its_kind(name):
    """By the numbers that it writes, as for three channels, or by those that it reads."""
    torch.manual_seed(0)
    side = max(16, smallest(entries("model")[name]))
    three, twelve = (entries("model")[name].load()(7, side, channels) for channels in (3, 12))
    first = [model.get_submodule(model.facts.first) for model in (three, twelve)]
    ratio = (first[1].weight.var() / first[0].weight.var()).item()
    assert ratio == pytest.approx(1, rel=0.25) or ratio == pytest.approx(1 / 4, rel=0.25)
    if first[0].bias is not None:
        assert (first[0].bias.abs().max() == 0) == (first[1].bias.abs().max() == 0)


@pytest.mark.parametrize("name", entries("model"))
def test_memory_order_does_not_change_the_logits(name):
    torch.manual_seed(0)
    size = max(16, smallest(entries("model")[name]))
    # double precision: what 110 untrained layers make of a rounding error is not the question
    model = entries("model")[name].load()(10, size).eval().double()
    x = torch.randn(4, 3, size, size, dtype=torch.float64)
    expected = model(x)
    model = model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(x.contiguous(memory_format=torch.channels_last)), expected)


def test_a_block_of_zero_weights_is_its_shortcut():
    model = resnet(10, 8, blocks=(2,), channels=(4,)).eval()
    torch.nn.init.zeros_(model.stages[1].bn2.weight)
    x = torch.rand(2, 4, 8, 8)
    assert torch.equal(model.stages[1](x), x)


def test_resolution_is_halved_by_every_stage_but_the_first():
    model = resnet(10, 32)
    x = model.stem(torch.randn(2, 3, 32, 32))
    sides = [x.shape[-1]]
    for block in model.stages:
        x = block(x)
        sides.append(x.shape[-1])
    assert sides == [32, 32, 16, 8]


def test_convolutions_start_with_kaiming_variance():
    torch.manual_seed(0)
    weight = resnet(10, 32, channels=(16, 64, 64)).stages[1].conv1.weight
    assert weight.shape[:2] == (64, 16)
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)


def test_dropout_stands_before_the_classifier():
    torch.manual_seed(0)
    model = resnet(10, 8, blocks=(1,), channels=(4,), dropout=0.5)
    x = torch.randn(2, 3, 8, 8)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_stages_that_do_not_pair_up_are_refused():
    with pytest.raises(ValueError, match="blocks has 2 and channels has 3; resnet needs equally many"):
        resnet(10, 32, blocks=(1, 1), channels=(8, 16, 32))


def test_lenet_names_the_smallest_image_it_takes():
    assert lenet(10, 16)(torch.zeros(1, 3, 16, 16)).shape == (1, 10)
    with pytest.raises(ValueError, match="lenet takes images of 16x16 and more, and these have 15x15"):
        lenet(10, 15)
