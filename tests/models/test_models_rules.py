"""What a family says of its settings: the plan and the network refuse the same, and what is not refused runs."""

import importlib
from functools import cache
from itertools import count, product

import pytest
import torch
from timm.models.regnet import generate_regnet
from torch import nn

from espalier.models import rules
from espalier.plan.chain import Settings
from espalier.plan.settings_misfits import misfits
from espalier.settings.registry import Entry, entries

SIDES = range(4, 41)
LITTLE = {"dim": 8, "heads": 2, "layers": 1}
# Sides at which networks are tried whose layers depend on them.
FEW = {4, 5, 7, 8, 15, 16, 32, 40}
FITTING = [
    *((name, {}) for name in entries("model") if name not in ("cct", "cvt", "googlenet")),
    ("cct", LITTLE),
    ("cct", LITTLE | {"convs": 3}),
    ("cct", LITTLE | {"kernel": 2}),
    ("cct", LITTLE | {"kernel": 5, "convs": 2}),
    ("cct", LITTLE | {"kernel": 7, "convs": 2}),
    ("cct", LITTLE | {"kernel": 8, "convs": 2}),
    ("cvt", LITTLE),
    ("cvt", LITTLE | {"patch": 3}),
    ("densenet", {"blocks": (1,)}),
    ("densenet", {"blocks": (1, 1)}),
    ("densenet", {"blocks": (1, 1, 1, 1, 1)}),
    ("ghostnet", {"version": "v3"}),
    ("resnet", {"blocks": (1, 1), "channels": (4, 8), "shortcut": "A"}),
    ("resnet", {"window": 2}),
    ("resnet", {"blocks": (1, 1), "channels": (4, 8), "window": 5, "kernels": (5, 1), "shortcut_kernels": (3, 7)}),
    ("spinal_cnn", {"channels": (4, 8)}),
    ("spinal_cnn", {"channels": (4,) * 8}),
    ("spinal_cnn", {"channels": (4, 8), "window": 3}),
    ("squeezenet", {"version": "1.1"}),
    ("squeezenet", {"stem": "imagenet"}),
    ("squeezenet", {"stem": "imagenet", "version": "1.1"}),
    ("squeezenet", {"window": 3}),
    ("squeezenet", {"stem": "imagenet", "window": 2}),
    ("squeezenet", {"stem": "imagenet", "version": "1.1", "window": 2}),
    ("thriftynet", {"steps": 4}),
    ("thriftynet", {"steps": 5}),
    ("thriftynet", {"steps": 20}),
    ("thriftynet", {"steps": 6, "pool_every": 1}),
]
UNFITTING = [
    ("cct", {"dim": 10}),
    ("cvt", {"dim": 7}),
    ("mobilenetv2", {"strides": (1, 2)}),
    ("mobilenetv2", {"strides": (1, 1, 1, 3, 1, 2, 1)}),
    ("pyramidnet", {"depth": 7}),
    ("regnetx", {"depth": 6}),
    ("regnetx", {"depth": 17}),
    ("regnetx", {"initial_width": 20}),
    ("regnetx", {"width_factor": 1.0}),
    ("regnetx", {"strides": (1, 2)}),
    ("resnet", {"blocks": (1, 1)}),
    ("resnet", {"channels": (8, 4, 2), "shortcut": "A"}),
    ("resnet", {"kernels": (3, 3)}),
    ("resnet", {"kernels": (3, 4, 3)}),
    ("resnet", {"shortcut_kernels": (1, 1)}),
    ("resnet", {"shortcut_kernels": (2,)}),
    ("resnet", {"shortcut_kernels": (3,), "shortcut": "A"}),
    ("shufflenetv2", {"blocks": (4, 8), "channels": (116, 232)}),
    ("shufflenetv2", {"channels": (117, 232, 464)}),
    ("spinal_cnn", {"channels": (8, 8, 8)}),
    ("spinal_cnn", {"layers": 1}),
    ("spinal_resnet", {"channels": (8,)}),
    ("spinal_vgg", {"layers": 1}),
    ("thriftynet", {"filters": 2}),
]


def planned(name, settings, side, channels=3):
    """What the plan says of a study's settings."""
    dataset = {"name": "stand_in", "image_size": side, "channels": channels}
    asked = {"dataset": dataset, "model": {"name": name, **settings}}
    return [text for _, text in misfits(Settings.model_validate(asked))]


def runs(model, side):
    """Whether images of this side come through, in arithmetic without numbers; and leave attention two tokens."""
    try:
        return model(torch.empty(2, 3, side, side, device="meta")).shape == (2, 7)
    except (RuntimeError, ValueError, IndexError, ZeroDivisionError):
        return False


def tokens(model):
    """Tokens that attention sees; enough of them where there is no attention over tokens."""
    position = getattr(model, "position", None)
    return 2 if position is None else position.shape[1]


@cache
def sized(name, settings=()):
    """Whether a network's layers depend on the side of its images."""
    with torch.device("meta"):
        small, large = (entries("model")[name].load()(7, side, **dict(settings)).state_dict() for side in (40, 80))
    return {key: one.shape for key, one in small.items()} != {key: one.shape for key, one in large.items()}


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "settings"), FITTING)
def test_the_plan_takes_exactly_the_images_that_come_through_the_network(name, settings, every, monkeypatch):
    function = entries("model")[name].load()
    smallest = rules.smallest(entries("model")[name], settings)
    module = importlib.import_module(function.__module__)
    monkeypatch.setattr(module, "refuse", lambda *_, **__: None, raising=False)
    model, changing = None, sized(name, tuple(settings.items()))
    edge = {smallest - 1, smallest}
    for side in SIDES if every else sorted((edge | (FEW if changing else {4, 40})) & {*SIDES}):
        try:
            if model is None or changing:
                with torch.device("meta"):
                    model = function(7, side, **settings)
            through = runs(model, side) and tokens(model) > 1
        except (RuntimeError, ValueError, IndexError, ZeroDivisionError):
            through = False
        if name == "cvt":
            through = through and side % settings.get("patch", 4) == 0
        assert (not planned(name, settings, side)) == through, side


@pytest.mark.parametrize(("name", "settings"), [*FITTING, *UNFITTING])
@pytest.mark.parametrize("side", [4, 16, 40])
def test_the_network_refuses_in_the_words_of_the_plan(name, settings, side):
    messages = planned(name, settings, side)
    with torch.device("meta"):
        if not messages:
            assert isinstance(entries("model")[name].load()(7, side, **settings), nn.Module)
            return
        with pytest.raises(ValueError) as error:
            entries("model")[name].load()(7, side, **settings)
    assert str(error.value) == messages[0]


@pytest.mark.parametrize(("filters", "channels", "fits"), [(2, 1, True), (2, 2, True), (2, 3, False), (3, 4, False)])
def test_filters_that_hold_no_image_are_refused_by_the_plan_and_the_network(filters, channels, fits):
    said = planned("thriftynet", {"filters": filters}, 16, channels)
    assert said == ([] if fits else [f"thriftynet: {filters} filters cannot hold the {channels} channels of an image"])
    if not fits:
        with pytest.raises(ValueError, match=said[0]):
            entries("model")["thriftynet"].load()(7, 16, channels, filters=filters)


def test_a_network_that_takes_no_channels_is_refused_where_images_have_others_than_three():
    plain = Entry("model", "plain", "", "", {}, {}, given=2)
    assert rules.misfit(plain, {}, 16, 3) is None
    assert "plain is made for 3 channels, and these images have 1; have its function take" in rules.misfit(
        plain, {}, 16, 1
    )


@pytest.mark.parametrize(("name", "settings"), UNFITTING)
def test_settings_that_make_no_network_are_refused_in_the_plan(name, settings):
    assert len(planned(name, settings, 32)) == 1


@pytest.mark.parametrize("kernel", range(1, 12))
@pytest.mark.parametrize("convs", [1, 2, 3])
def test_a_tokenizer_of_any_kernel_leaves_two_tokens_a_side(kernel, convs):
    stride, padding = max(1, kernel // 2 - 1), kernel // 2

    def side(pixels):
        for _ in range(convs):
            pixels = ((pixels + 2 * padding - kernel) // stride) // 2 + 1
        return pixels

    expected = next(pixels for pixels in count(1) if side(pixels) > 1)
    assert rules.smallest(entries("model")["cct"], {"kernel": kernel, "convs": convs}) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("2 ** (len(blocks) - 1)", 4),
        ("depth % 6 == 2 and depth >= 8 or depth < 0", True),
        ("max(blocks) if name == 'x' else 7 // 2", 3),
        ("blocks == (1, 2, 3)", True),
        ("len(set(round(block / 2) for block in range(depth)))", 5),
        (17, 17),
    ],
)
def test_a_rule_is_worth_what_python_makes_of_it(rule, expected):
    assert rules.value(rule, {"blocks": (1, 2, 3), "depth": 8, "name": "y"}) == expected


@pytest.mark.parametrize("rule", ["open('x')", "blocks.__class__", "[1][0]", "lambda: 1", "__import__('os')"])
def test_a_rule_reaches_nothing_but_its_settings(rule):
    with pytest.raises(ValueError, match="a rule cannot hold"):
        rules.value(rule, {"blocks": (1,)})


def test_of_images_of_unknown_side_only_the_settings_are_judged():
    cvt = entries("model")["cvt"]
    assert rules.misfit(cvt, {}, None) is None
    assert rules.misfit(cvt, {"heads": 3}, None) == "cvt: dim 128 is no multiple of 3 heads"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("resnet18", None),
        ({"name": "mobilenetv2", "width": 0.5}, "fit where width == 1 and shortcut == 'identity'"),
        ("lenet", "no weights of lenet are published; there are some of densenet, efficientnet, ghostnet"),
    ],
)
def test_the_plan_knows_where_pretrained_weights_fit(model, message):
    asked = {"dataset": {"name": "digits", "image_size": 32}, "model": model, "pretrained": True}
    found = list(misfits(Settings.model_validate(asked)))
    assert [key for key, _ in found] == (["pretrained"] if message else [])
    assert not message or message in found[0][1]


def test_a_model_without_facts_takes_everything():
    assert rules.misfit(Entry("model", "plain", "", "", {}, {}), {"width": 3}, 1) is None


@pytest.mark.parametrize("depth", range(1, 24, 2))
def test_stages_of_a_regnet_are_counted_as_the_library_makes_them(depth):
    stages = next(rule for rule in entries("model")["regnetx"].facts["requires"] if "log" in rule)
    for slope, start, factor in product((0.0, 10.5, 24.48, 36.44, 69.86), (8, 24, 48, 80), (1.5, 2.25, 2.49, 2.88)):
        names = {"depth": depth, "slope": slope, "initial_width": start, "width_factor": factor}
        _, made, _ = generate_regnet(slope, start, factor, depth, 8)
        assert rules.value(stages, names) == (made == 4), names
