"""Residual networks, SpinalNets and ThriftyNet: counts, arithmetic, and what they state of themselves."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from espalier.metrics.cost import params
from espalier.models.facts import prunable
from espalier.models.lenet import lenet
from espalier.models.mlp import mlp
from espalier.models.preact_resnet import preact_resnet
from espalier.models.pyramidnet import pyramidnet
from espalier.models.resnet import resnet
from espalier.models.resnet_imagenet import resnet_imagenet
from espalier.models.spinalnet import QuarterMaxima, halves, spinal_cnn, spinal_resnet, spinal_vgg
from espalier.models.squeezenet import squeezenet
from espalier.models.thriftynet import thriftynet

SMALL = {
    "resnet": (resnet, {"blocks": (1, 2), "channels": (4, 8)}),
    "resnet option A": (resnet, {"blocks": (1, 1, 1), "channels": (4, 8, 13), "shortcut": "A"}),
    "resnet squeezed": (resnet, {"blocks": (1, 1), "channels": (8, 16), "se_reduction": 4}),
    "resnet of kernels": (resnet, {"blocks": (1, 2), "channels": (4, 8), "kernels": (5, 1), "shortcut_kernels": (3,)}),
    "resnet of windows": (resnet, {"blocks": (1, 1), "channels": (4, 8), "pool": "max", "window": 3}),
    "resnet preactivated": (
        resnet,
        {"blocks": (1, 2), "channels": (4, 8), "preactivation": True, "activation": "gelu"},
    ),
    "resnet_imagenet": (resnet_imagenet, {}),
    "resnet_imagenet cifar": (resnet_imagenet, {"stem": "cifar"}),
    "resnet_imagenet upsample": (resnet_imagenet, {"upsample": 70}),
    "preact_resnet": (preact_resnet, {}),
    "preact_resnet without final norm": (preact_resnet, {"final_norm": False}),
    "pyramidnet": (pyramidnet, {"depth": 14, "alpha": 7}),
    "spinal_cnn": (spinal_cnn, {}),
    "spinal_resnet": (spinal_resnet, {}),
    "spinal_vgg": (spinal_vgg, {}),
    "thriftynet": (thriftynet, {}),
    "lenet": (lenet, {}),
    "mlp": (mlp, {"hidden": (8, 4)}),
}
SMALLEST = {"spinal_vgg": 32}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [16, 32, 64])
def test_every_parameter_learns_at_every_size(name, size):
    network, settings = SMALL[name]
    torch.manual_seed(0)
    if size < SMALLEST.get(name, 1):
        with pytest.raises(ValueError, match=f"{name} takes images of {SMALLEST[name]}x{SMALLEST[name]} and more"):
            network(10, size, **settings)
        return
    model = network(10, size, **settings)
    logits = model(torch.randn(2, 3, size, size))
    assert logits.shape == (2, 10)
    nn.functional.cross_entropy(logits, torch.tensor([1, 7])).backward()
    dead = [path for path, one in model.named_parameters() if one.grad is None or not one.grad.abs().sum() > 0]
    assert not dead


@pytest.mark.parametrize("name", SMALL)
def test_what_a_network_states_of_itself_is_so(name):
    network, settings = SMALL[name]
    model = network(10, 32, **settings).eval()
    modules = dict(model.named_modules())
    order = []
    for module in modules.values():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda module, _, out: order.append((module, out)))
    logits = model(torch.randn(2, 3, 32, 32))
    assert order[0][0] is modules[model.facts.first]
    assert order[-1][0] is modules[model.facts.classifier]
    assert order[-1][1] is logits
    layers = {path for path, module in modules.items() if isinstance(module, nn.Conv2d | nn.Linear)}
    assert prunable(model).keys() == layers - {model.facts.classifier, *model.facts.unprunable}


def test_perceptron_without_hidden_layer_sees_pixels_in_its_classifier():
    assert mlp(10, 4, hidden=()).facts.first == "classifier"


def test_option_a_subsamples_and_adds_zeros_on_both_sides():
    model = resnet(10, 8, blocks=(1, 1), channels=(4, 9), shortcut="A")
    x = torch.randn(2, 4, 7, 7)
    out = model.stages[1].shortcut(x)
    assert torch.equal(out[:, 2:6], x[:, :, ::2, ::2])
    assert out.shape == (2, 9, 4, 4)
    assert not out[:, :2].any() and not out[:, 6:].any()


def test_option_a_refuses_stages_that_shrink():
    with pytest.raises(ValueError, match=r"channels \(8, 4\) must not shrink"):
        resnet(10, 8, blocks=(1, 1), channels=(8, 4), shortcut="A")


@pytest.mark.parametrize("reduction", [2, 4])
def test_squeeze_and_excitation_adds_two_small_layers_a_block(reduction):
    channels, blocks = (8, 16), (2, 1)
    plain = params(resnet(10, 8, blocks=blocks, channels=channels))
    squeezed = params(resnet(10, 8, blocks=blocks, channels=channels, se_reduction=reduction))
    added = sum(n * (2 * c * (c // reduction) + c // reduction + c) for n, c in zip(blocks, channels, strict=True))
    assert squeezed - plain == added


@pytest.mark.parametrize(("n", "depth"), [(3, 20), (5, 32), (9, 56), (18, 110)])
def test_depth_of_a_residual_network_is_six_n_plus_two(n, depth):
    with torch.device("meta"):
        model = resnet(10, 32, blocks=(n, n, n), shortcut="A")
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in model.modules()) == depth


def test_new_settings_draw_nothing_at_their_defaults():
    """A seed makes the weights that it made before option A and squeeze-and-excitation were there."""
    torch.manual_seed(0)
    model = resnet(10, 8, blocks=(1, 1), channels=(4, 8))
    expected = torch.tensor([-0.3368103504, -0.0611655712, 0.0037472763])
    torch.testing.assert_close(model.classifier.bias[:3], expected)
    assert {key.split(".")[2] for key in model.state_dict() if key.startswith("stages")} == {
        *("conv1", "bn1", "conv2", "bn2", "shortcut")
    }


@pytest.mark.parametrize(
    ("blocks", "channels", "preactivation", "count"),
    [
        # Notebooks of the repository of "ResNet under 5 million Parameters": ResNet_V2 (row 7) and B-93-82.
        ((3, 4, 6, 3), (64, 128, 256, 256), True, 11_772_874),
        ((3, 6, 4, 3), (32, 64, 128, 256), True, 4_883_178),
        ((3, 4, 6, 3), (64, 128, 256, 256), False, 11_773_258),
    ],
)
def test_preactivation_normalizes_what_comes_into_a_block(blocks, channels, preactivation, count):
    with torch.device("meta"):
        model = resnet(10, 32, blocks=blocks, channels=channels, preactivation=preactivation, activation="gelu")
    assert params(model) == count


def test_a_preactivated_block_adds_its_input_to_what_two_convolutions_make_of_it():
    block = resnet(10, 8, blocks=(2,), channels=(4,), preactivation=True, activation="gelu").eval().stages[1]
    for norm in (block.bn1, block.bn2):
        nn.init.normal_(norm.bias)
    x, gelu = torch.randn(2, 4, 8, 8), nn.functional.gelu
    expected = x + block.conv2(gelu(block.bn2(block.conv1(gelu(block.bn1(x))))))
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(("kernels", "shortcut_kernels"), [((5, 1), (1,)), ((3,), (3,)), ((1, 7), (1, 5))])
def test_a_stage_has_convolutions_of_its_kernel(kernels, shortcut_kernels):
    model = resnet(10, 9, blocks=(1, 2), channels=(4, 8), kernels=kernels, shortcut_kernels=shortcut_kernels)
    own = kernels * (2 // len(kernels))
    assert [block.conv1.kernel_size[0] for block in model.stages] == [own[0], own[1], own[1]]
    assert [block.conv2.kernel_size[0] for block in model.stages] == [own[0], own[1], own[1]]
    assert model.stages[1].shortcut[0].kernel_size[0] == shortcut_kernels[-1]
    assert model.stages(model.stem(torch.zeros(1, 3, 9, 9))).shape == (1, 8, 5, 5)


@pytest.mark.parametrize(("size", "window", "places"), [(16, 0, 1), (16, 8, 1), (16, 3, 4), (15, 2, 16), (16, 1, 64)])
@pytest.mark.parametrize("pool", ["average", "max"])
def test_the_classifier_reads_each_window_of_the_last_map(pool, size, window, places):
    model = resnet(10, size, blocks=(1, 1), channels=(4, 8), pool=pool, window=window).eval()
    assert model.classifier.in_features == 8 * places
    x = torch.randn(2, 8, 8, 8)
    known = nn.functional.max_pool2d if pool == "max" else nn.functional.avg_pool2d
    torch.testing.assert_close(model.pool(x), known(x, window or 8).flatten(1))


@pytest.mark.parametrize("size", [32, 48, 64])
@pytest.mark.parametrize("network", [spinal_cnn, spinal_vgg])
def test_halves_hold_every_feature(network, size):
    model = network(10, size).eval()
    features = model.features(torch.randn(1, 3, size, size))
    assert torch.equal(torch.cat(halves(features), 1), features.flatten(1))
    widths = [layer[1].in_features for layer in model.head.spine]
    hidden = model.head.spine[0][1].out_features
    assert widths[0] + widths[1] - hidden == features.flatten(1).shape[1]


@pytest.mark.parametrize(
    ("network", "settings", "size"),
    [(spinal_cnn, {"channels": (4, 8)}, 24), (spinal_vgg, {"early_width": 0.25}, 96), (squeezenet, {}, 24)],
)
def test_one_more_pooling_shows_the_classifier_the_maximum_of_each_window(network, settings, size):
    torch.manual_seed(0)
    plain, pooled = (network(10, size, **settings, window=window).eval() for window in (1, 3))
    pooled.features.load_state_dict(plain.features.state_dict())
    x = torch.randn(1, 3, size, size)
    torch.testing.assert_close(pooled.features(x), nn.functional.max_pool2d(plain.features(x), 3))
    assert pooled(x).shape == (1, 10)


def test_early_layers_of_a_spinal_vgg_are_those_before_the_second_pooling():
    plain, wide = (spinal_vgg(10, 32, depth=13, early_width=factor) for factor in (1.0, 1.5))
    widths = [
        [layer.out_channels for layer in model.features if isinstance(layer, nn.Conv2d)] for model in (plain, wide)
    ]
    assert widths[0] == [64, 64, 128, 128, *[256] * 2, *[512] * 4]
    assert widths[1] == [96, 96, 192, 192, *[256] * 2, *[512] * 4]


@pytest.mark.parametrize(("version", "usual"), [("1.0", 96), ("1.1", 64)])
def test_a_wider_stem_of_a_squeezenet_feeds_its_first_fire_module(version, usual):
    plain, wide = (squeezenet(10, 32, version=version, stem_channels=channels) for channels in (0, 128))
    assert (plain.features[0].out_channels, wide.features[0].out_channels) == (usual, 128)
    assert params(wide) - params(plain) == (128 - usual) * (3 * 9 + 1 + 16)
    assert wide(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


@pytest.mark.parametrize("size", [16, 32, 64])
def test_spinal_layers_of_a_residual_network_read_all_four_positions(size):
    model = spinal_resnet(10, size).eval()
    features = model.features(torch.randn(1, 3, size, size))
    assert torch.equal(torch.stack(model.head.cut(features), 2), features.flatten(2))
    assert len(model.head.cut(features)) == len(model.head.spine) == 4


@pytest.mark.parametrize("depth", [7, 9, 111])
def test_pyramid_of_no_whole_blocks_is_refused(depth):
    with pytest.raises(ValueError, match=f"not {depth}"):
        pyramidnet(10, 32, depth=depth)


def test_pyramid_widens_by_alpha():
    with torch.device("meta"):
        model = pyramidnet(10, 32)
    widths = [16, *(block.conv2.out_channels for block in model.blocks)]
    assert widths[0] == 16 and widths[-1] == 64
    assert {wider - narrow for narrow, wider in pairwise(widths)} == {0, 1}


def test_thriftynet_has_one_convolution_applied_at_every_step():
    model = thriftynet(10, 16, steps=6)
    seen = []
    model.conv.register_forward_hook(lambda *call: seen.append(call[2].shape[-1]))
    model(torch.randn(2, 3, 16, 16))
    assert seen == [16] * 4 + [8] * 2
    assert sum(isinstance(module, nn.Conv2d) for module in model.modules()) == 1


def test_up_sampling_front_shows_the_network_large_images():
    model = resnet_imagenet(10, 16, upsample=64).eval()
    x = torch.randn(1, 3, 16, 16)
    large = nn.functional.interpolate(x, size=(64, 64), mode="bilinear")
    expected = model.conv1[1](large)
    torch.testing.assert_close(model.conv1(x), expected)


def test_residual_stages_of_a_preactivation_network_carry_what_comes_in():
    model = preact_resnet(10, 8).eval()
    block = model.stages[0].blocks[1]
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(1, 64, 8, 8)
    assert torch.equal(block(x), x)


def test_a_pyramid_block_of_zero_weights_pools_and_adds_zeros():
    block = pyramidnet(10, 8, depth=8, alpha=12).blocks[1].eval()
    nn.init.zeros_(block.bn3.weight)
    x = torch.randn(1, 20, 8, 8)
    out = block(x)
    torch.testing.assert_close(out[:, :20], nn.functional.avg_pool2d(x, 2))
    assert out.shape == (1, 24, 4, 4) and not out[:, 20:].any()


def test_a_sum_of_spinal_residual_blocks_may_be_negative():
    block = spinal_resnet(10, 8).features[3].eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.randn(1, 32, 8, 8)
    assert torch.equal(block(x), x)


def test_whatever_is_added_to_the_spinal_map_keeps_its_width():
    one = spinal_resnet(10, 8, blocks=(2,), channels=(4,))
    assert one.facts.unprunable == ("features.0", "features.3.conv2", "features.4.conv2")
    two = spinal_resnet(10, 8, blocks=(1, 1), channels=(4, 8))
    assert two.facts.unprunable == ("features.4.conv2", "features.4.shortcut.0")


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 8, 13])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_maxima_of_quarters_are_adaptive_maxima_with_their_gradient(side, layout):
    """Of few values, so that many a window has its greatest one twice."""
    values = torch.randint(0, 5, (3, 6, side, side)).float().contiguous(memory_format=layout)
    weight, found = torch.randn(3, 6, 2, 2), []
    for pool in (QuarterMaxima(), nn.AdaptiveMaxPool2d(2)):
        x = values.clone().requires_grad_()
        maxima = pool(x)
        maxima.backward(weight)
        found.append((maxima, x.grad))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
