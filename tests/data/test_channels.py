"""Images of one, two, four and five channels: each channel is changed as if it were alone, or the change is refused."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from espalier.data import channel_rules, stated
from espalier.data.corruptions import corrupted
from espalier.data.images import Arrays
from espalier.data.normalization import Normalization
from espalier.plan.chain import Settings
from espalier.plan.settings_misfits import misfits
from espalier.settings.registry import choice, entries
from espalier.settings.types import CORRUPTIONS
from support.data_samples import policy

SIZE, COUNT = 11, 40
NOISE = {"name": "random_erasing", "value": 2.0}
"""Noise is drawn for each channel: without it."""
TOLD = "the number of channels is"


def augmented(images, *augment):
    """An epoch's inputs of all images, mixed where the policy mixes: float32 (n, H, W, C)."""
    made, every = policy(*augment), torch.arange(COUNT)
    tables = made.draw(seed=1, epoch=1, count=COUNT, size=SIZE, device=torch.device("cpu"))
    channels = images.shape[3]
    normalize = Normalization([0.4] * channels, [0.2] * channels, SIZE, torch.device("cpu"))
    inputs = made.inputs(images, every, tables, normalize)
    return made.mix(inputs, inputs.roll(1, 0), every, tables)[0] if made.mixes else inputs


def images(channels):
    draw = torch.Generator().manual_seed(channels)
    return torch.randint(0, 256, (COUNT, SIZE, SIZE, channels), dtype=torch.uint8, generator=draw)


def undefined(name, channels):
    """What is said of an augmentation, with all that it can do, on images of so many channels."""
    full = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1} if name == "color_jitter" else {}
    return told([{"name": name, **full}], channels)


def told(augment, channels, **more):
    asked = {"dataset": {"name": "stand_in", "channels": channels}, "model": "mlp", "augment": augment, **more}
    return [*misfits(Settings.model_validate(asked))]


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
@pytest.mark.parametrize("name", entries("augmentation"))
def test_every_augmentation_is_refused_by_its_name_or_changes_each_channel_as_if_it_were_alone(name, channels):
    if said := undefined(name, channels):
        assert all(path == "augment" and message.startswith(f"{name}: ") for path, message in said)
        assert all(message.endswith(f"{TOLD} {channels}") for _, message in said)
        return
    asked = NOISE if name == "random_erasing" else name
    source = images(channels)
    found = augmented(source, asked)
    alone = [augmented(one.contiguous(), asked) for one in source.split(1, 3)]
    assert torch.equal(found, torch.cat(alone, 3))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("name", ["rotation", "affine", "perspective", "random_resized_crop"])
def test_warps_of_either_interpolation_read_each_channel_alone(name, interpolation):
    asked = {"name": name, "interpolation": interpolation} | ({"degrees": 40.0} if name == "affine" else {})
    source = images(4)
    found = augmented(source, asked, "pad_crop")
    assert torch.equal(
        found, torch.cat([augmented(one.contiguous(), asked, "pad_crop") for one in source.split(1, 3)], 3)
    )


def test_brightness_is_defined_for_any_channels():
    asked, source = {"name": "color_jitter", "brightness": 0.5}, images(2)
    assert not told([asked], 2)
    found = augmented(source, asked)
    assert torch.equal(found, torch.cat([augmented(one.contiguous(), asked) for one in source.split(1, 3)], 3))
    assert not torch.equal(found, augmented(source))


@pytest.mark.parametrize(
    ("augment", "channels", "refused"),
    [
        ({"name": "color_jitter", "saturation": 0.5}, 3, ""),
        ({"name": "color_jitter", "saturation": 0.5}, 1, "color_jitter: saturation and hue need RGB"),
        ({"name": "color_jitter", "hue": 0.1}, 4, "color_jitter: saturation and hue need RGB"),
        ({"name": "color_jitter", "contrast": 0.5, "brightness": 0.5}, 1, ""),
        ({"name": "color_jitter", "contrast": 0.5}, 2, "color_jitter: contrast needs gray or RGB"),
        ("grayscale", 1, "grayscale: needs RGB"),
        ("randaugment", 1, ""),
        ("randaugment", 2, "randaugment: some of its operations need gray or RGB"),
        ("trivialaugment", 4, "trivialaugment: some of its operations need gray or RGB"),
        ("autoaugment", 5, "autoaugment: some of its operations need gray or RGB"),
    ],
)
def test_colour_operations_are_refused_in_the_plan_where_they_are_not_defined(augment, channels, refused):
    found = told([augment], channels)
    assert [path for path, _ in found] == (["augment"] if refused else [])
    assert not refused or (found[0][1].startswith(refused) and found[0][1].endswith(f"{TOLD} {channels}"))


def test_a_teacher_s_augmentations_are_judged_too():
    teacher = {"model": "mlp", "augment": ["grayscale"], "train": {"epochs": 1}}
    found = told(["pad_crop"], 1, train={"teacher": teacher})
    assert [path for path, _ in found] == ["train.teacher.augment"]


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_is_refused_by_its_name_or_gives_images_of_as_many_channels(name, channels):
    if said := told([], channels, evaluate={"corruptions": {"names": [name]}}):
        assert said[0][0] == "evaluate.corruptions"
        assert said[0][1] == f"defined for gray or RGB images alone: {name}; set names to others; {TOLD} {channels}"
        assert name in ("brightness", "jpeg")
        return
    source = images(channels)[:3].permute(0, 3, 1, 2)
    found = corrupted(source, range(3), name, 5)
    assert found.shape == source.shape and not torch.equal(found, source)


def test_channels_are_pixelated_each_by_itself():
    """Pillow would take the last of two or four for opacity, and weigh the others by it."""
    source = images(4)[:3].permute(0, 3, 1, 2)
    alone = [corrupted(one, range(3), "pixelate", 4) for one in source.split(1, 1)]
    assert torch.equal(corrupted(source, range(3), "pixelate", 4), torch.cat(alone, 1))


@pytest.mark.parametrize("channels", [2, 3, 4, 6])
def test_arrays_are_resized_channel_by_channel(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 14, channels), dtype=np.uint8)
    whole = Arrays(pixels, 8)
    assert whole.shape == (2, channels, 8, 8)
    alone = [Arrays(pixels[..., one], 8).image(1) for one in range(channels)]
    assert np.array_equal(whole.image(1), np.concatenate(alone, 2))
    assert Arrays(pixels[:, :14], 14).image(0).shape == (14, 14, channels)
    assert np.array_equal(Arrays(pixels[:, :14], 14).image(0), pixels[0, :14])


@pytest.mark.parametrize(
    ("dataset", "channels"),
    [
        ("digits", 1),
        ("mnist", 1),
        ("fashion_mnist", 1),
        ("cifar10", 3),
        ({"name": "cifar10", "grayscale": True}, 1),
        ({"name": "folder", "path": "x"}, 3),
        ({"name": "folder", "path": "x", "grayscale": True}, 1),
        ({"name": "stand_in", "channels": 4}, 4),
        ({"name": "arrays", "path": "x.npz", "channels": 2}, 2),
    ],
)
def test_a_data_set_states_its_channels(dataset, channels):
    assert stated.channels(TypeAdapter(choice("dataset")).validate_python(dataset)) == channels


def test_what_stages_read_is_judged_by_the_images_that_they_have():
    """The same words where a run starts, whatever was planned."""
    settings = Settings.model_validate({"dataset": "cifar10", "model": "mlp", "augment": ["grayscale"]})
    assert not [*channel_rules.misfits(settings.stage("train"), 3)]
    assert [path for path, _ in channel_rules.misfits(settings.stage("train"), 2)] == ["augment"]
