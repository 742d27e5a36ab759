"""Convolutional networks that are torchvision's or timm's with a stem and strides for small images."""

import pytest
import torch
from torchvision.models import MobileNetV2

from espalier.metrics.cost import params
from espalier.models.densenet import densenet
from espalier.models.efficientnet import efficientnet
from espalier.models.facts import prunable
from espalier.models.ghostnet import ghostnet
from espalier.models.googlenet import googlenet
from espalier.models.mobilenetv2 import mobilenetv2
from espalier.models.regnet import regnetx
from espalier.models.shufflenet import shufflenetv2
from espalier.models.squeezenet import squeezenet

PROJECTION = {"shortcut": "projection", "strides": (1, 1, 2, 2, 1, 2, 1)}
IMAGENET_10 = {"version": "1.0", "stem": "imagenet"}
IMAGENET_11 = {"version": "1.1", "stem": "imagenet"}

# One of each structure, to be run.
STRUCTURES = [
    (mobilenetv2, {}),
    (mobilenetv2, PROJECTION),
    (densenet, {}),
    (shufflenetv2, {}),
    (regnetx, {}),
    (efficientnet, {}),
    (efficientnet, {"head": 1280}),
    (googlenet, {}),
    (squeezenet, {}),
    (squeezenet, {"version": "1.1"}),
    (squeezenet, IMAGENET_10),
    (squeezenet, IMAGENET_11),
    (ghostnet, {}),
    (ghostnet, {"version": "v3"}),
]
SMALLEST = [
    (densenet, {}, 8),
    (densenet, {"blocks": (1, 1, 1)}, 4),
    (squeezenet, {}, 8),
    (squeezenet, {"version": "1.1"}, 8),
    (squeezenet, IMAGENET_10, 21),
    (squeezenet, IMAGENET_11, 17),
    (ghostnet, {}, 17),
    (ghostnet, {"version": "v3"}, 17),
]


def label(value):
    return value.__name__ if callable(value) else None


def on_meta(function, classes, size, settings):
    with torch.device("meta"):
        return function(classes, size, **settings)


# Smaller images of those without settings are among the tests of every model.
SIDES = [(*key, side) for key in STRUCTURES for side in (16, 32, 64) if key[1] or side == 64]


@pytest.mark.parametrize(("function", "settings", "size"), SIDES, ids=label)
def test_every_parameter_has_a_gradient_or_the_image_is_refused(function, settings, size):
    torch.manual_seed(0)
    smallest = next((side for *key, side in SMALLEST if key == [function, settings]), 1)
    if size < smallest:
        with pytest.raises(
            ValueError, match=f"takes images of {smallest}x{smallest} and more, and these have {size}x{size}"
        ):
            function(7, size, **settings)
        return
    model = function(7, size, **settings)
    logits = model(torch.randn(2, 3, size, size))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    # GhostNet's attention sees 1x1 maps at 32x32, where normalization cancels a bias before it exactly.
    without = [name for name, grad in gradients.items() if grad is None or (size == 64 and not grad.any())]
    assert not without


@pytest.mark.parametrize(("function", "settings", "smallest"), SMALLEST, ids=label)
def test_the_smallest_image_runs_and_a_smaller_one_is_refused(function, settings, smallest):
    assert function(3, smallest, **settings)(torch.randn(2, 3, smallest, smallest)).shape == (2, 3)
    with pytest.raises(ValueError, match=f"{function.__name__} takes images of {smallest}x{smallest} and more"):
        function(3, smallest - 1, **settings)


@pytest.mark.parametrize(
    "function", [mobilenetv2, shufflenetv2, regnetx, efficientnet, googlenet], ids=lambda function: function.__name__
)
def test_networks_without_a_smallest_image_take_one_pixel(function):
    assert function(3, 1)(torch.randn(2, 3, 1, 1)).shape == (2, 3)


@pytest.mark.parametrize(("function", "settings"), STRUCTURES, ids=label)
def test_facts_name_the_first_layer_and_the_one_that_makes_the_logits(function, settings):
    model = on_meta(function, 7, 64, settings)
    first = model.get_submodule(model.facts.first)
    classifier = model.get_submodule(model.facts.classifier)
    assert first.weight.shape[1] == 3
    assert classifier.weight.shape[0] == 7
    layers = prunable(model)
    assert model.facts.first in layers
    assert model.facts.classifier not in layers


def test_the_report_counts_a_layer_of_efficientnet_that_it_does_not_use():
    dead = 32 * 32 + 2 * 32  # a 1x1 convolution and its normalization
    assert params(on_meta(efficientnet, 10, 32, {})) + dead == 3_599_686


def test_projection_adds_shortcuts_where_only_the_width_changes():
    plain = on_meta(mobilenetv2, 10, 32, {"strides": PROJECTION["strides"]})
    projected = on_meta(mobilenetv2, 10, 32, PROJECTION)
    changes = ((32, 16), (16, 24), (64, 96), (160, 320))
    shortcuts = sum(inputs * outputs + 2 * outputs for inputs, outputs in changes)
    assert shortcuts == 59_152
    assert params(projected) - params(plain) == shortcuts + 32 * 32 + 2 * 32


def test_stages_of_mobilenetv2_are_those_of_torchvision_and_may_be_others():
    usual, own = {"stem_stride": 2, "strides": (1, 2, 2, 2, 1, 2, 1)}, {"strides": (1, 2), "blocks": (1, 2)}
    with torch.device("meta"):
        assert params(mobilenetv2(10, 32, **usual, round_to=4, width=0.3)) == params(
            MobileNetV2(10, width_mult=0.3, round_nearest=4)
        )
        assert params(mobilenetv2(10, 32, **own, expansions=(1, 4), channels=(8, 24))) == params(
            MobileNetV2(10, inverted_residual_setting=[[1, 8, 1, 1], [4, 24, 2, 2]])
        )


def test_mobilenetv2_halves_the_resolution_where_its_strides_say():
    model = mobilenetv2(10, 32).eval()
    x, sides = torch.zeros(1, 3, 32, 32), []
    for block in model.features:
        x = block(x)
        sides.append(x.shape[-1])
    assert sides == [32] * 7 + [16] * 7 + [8] * 5


def test_densenet_has_the_120_convolutions_of_its_name():
    names = [type(module).__name__ for module in on_meta(densenet, 10, 32, {}).modules()]
    assert names.count("Conv2d") == 120
    assert names.count("Linear") == 1


@pytest.mark.parametrize(
    ("function", "settings", "message"),
    [
        (mobilenetv2, {"strides": (1, 2)}, "strides has 2 and expansions has 7 and .* mobilenetv2 needs equally many"),
        (mobilenetv2, {"strides": (1, 1, 1, 3, 1, 2, 1)}, "each 1 or 2"),
        (shufflenetv2, {"blocks": (4, 8)}, "blocks has 2 and channels has 3; shufflenetv2 needs equally many"),
        (shufflenetv2, {"channels": (117, 232, 464)}, r"\(117, 232, 464\) are not all even"),
        (regnetx, {"depth": 2}, "make more or fewer than the four stages"),
        (regnetx, {"initial_width": 20}, "initial_width is a multiple of 8"),
        (regnetx, {"strides": (1, 2)}, "give one number for each of the four stages"),
    ],
    ids=label,
)
def test_settings_that_make_no_network_are_refused(function, settings, message):
    with pytest.raises(ValueError, match=message):
        function(10, 32, **settings)
