"""Corrupted images: the same whatever the batch, stronger as they are told to be, and what each corruption says."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch.testing import assert_close

from espalier.data import corruptions
from espalier.data.corruptions import corrupted
from espalier.data.sets.digits import digits
from espalier.settings.types import CORRUPTIONS, STRENGTHS

MONOTONE = {"pixelate", "motion_blur"}
"""Corruptions whose strengths lie so close that single ones may change places."""


@pytest.fixture(scope="module")
def photographs():
    """24 parts of a photograph, uint8 (24, 3, 32, 32)."""
    pixels = torch.from_numpy(load_sample_image("china.jpg").copy())[:256, :384].permute(2, 0, 1)
    parts = pixels[:, ::2, ::2].unfold(1, 32, 32).unfold(2, 32, 32)
    return parts.permute(1, 2, 0, 3, 4).reshape(-1, 3, 32, 32).contiguous()


@pytest.fixture(scope="module")
def handwritten():
    return digits(None, image_size=32).images[:24].contiguous()


def distance(one, other):
    return (one.float() - other.float()).abs().mean().item()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_is_the_same_in_batches_of_any_size(name, photographs):
    places = list(range(100, 124))
    for strength in (1, 5):
        whole = corrupted(photographs, places, name, strength)
        for size in (1, 7):
            parts = zip(photographs.split(size), torch.tensor(places).split(size), strict=True)
            assert torch.equal(torch.cat([corrupted(p, at.tolist(), name, strength) for p, at in parts]), whole)
        other_order = photographs.to(memory_format=torch.channels_last)
        assert torch.equal(corrupted(other_order, places, name, strength), whole)
    assert whole.dtype == torch.uint8 and whole.shape == photographs.shape


@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "impulse_noise", "motion_blur"])
def test_what_is_drawn_is_of_the_image_and_of_the_strength(name, photographs):
    same = photographs[:1].expand(2, -1, -1, -1).contiguous()
    one, other = corrupted(same, [3, 4], name, 3)
    assert not torch.equal(one, other)
    assert torch.equal(corrupted(same[:1], [4], name, 3)[0], other)


@pytest.mark.parametrize("images", ["photographs", "handwritten"])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_stronger_corruption_is_further_from_the_image(name, images, request):
    images = request.getfixturevalue(images)
    found = [distance(corrupted(images, range(24), name, strength), images) for strength in STRENGTHS]
    assert 0 < found[0] < found[2] < found[4]
    assert name in MONOTONE or found == sorted(found)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_gray_images_stay_gray(name, handwritten):
    found = corrupted(handwritten, range(24), name, 4)
    assert torch.equal(found, found[:, :1].expand_as(found))


def test_one_channel_is_enough(handwritten):
    for name in CORRUPTIONS:
        assert corrupted(handwritten[:2, :1], range(2), name, 2).shape == (2, 1, 32, 32)


def test_noise_has_the_spread_that_the_paper_gives_it():
    grey = torch.full((40, 3, 32, 32), 128, dtype=torch.uint8)
    grey[:, 0, 0, 0] = 127
    noise = corrupted(grey, range(40), "gaussian_noise", 3).double() - 128
    assert noise.std().item() / 255 == pytest.approx(0.08, rel=0.02)
    photons = corrupted(grey, range(40), "shot_noise", 5).double() / 255
    assert photons.var().item() == pytest.approx(128 / 255 / 50, rel=0.05)
    found = corrupted(grey, range(40), "impulse_noise", 5)
    assert (found == 0).double().mean().item() == pytest.approx(0.035, rel=0.1)
    assert (found == 255).double().mean().item() == pytest.approx(0.035, rel=0.1)


def test_a_jpeg_is_pillow_s(photographs):
    file = io.BytesIO()
    Image.fromarray(photographs[5].permute(1, 2, 0).numpy()).save(file, "JPEG", quality=65)
    expected = torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1)
    assert torch.equal(corrupted(photographs[5:6], [5], "jpeg", 2)[0], expected)


def test_blurs_keep_what_is_even_and_the_mean_of_a_point():
    even = torch.full((1, 3, 32, 32), 77, dtype=torch.uint8)
    point = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    point[:, :, 16, 16] = 255
    for name in ("gaussian_blur", "motion_blur"):
        assert torch.equal(corrupted(even, [0], name, 5), even)
        assert corrupted(point, [0], name, 5).float().sum().item() == pytest.approx(3 * 255, rel=0.08)
    spread = corrupted(point, [0], "gaussian_blur", 5)[0, 0].double() / 255
    # Of a Gaussian of sigma 1, sampled at whole pixels.
    assert spread[16, 16].item() == pytest.approx(1 / (2 * np.pi), abs=0.004)


def test_brightness_and_contrast_by_hand():
    image = torch.tensor([[51, 0], [204, 51]], dtype=torch.uint8).view(1, 1, 2, 2).repeat(1, 3, 1, 1)
    image[0, 1:, 0, 0] = torch.tensor([102, 0])
    (brighter,) = corrupted(image, [0], "brightness", 5)
    # 0.4 + 0.3 of V at the same ratios, black to gray, white at most.
    assert_close(brighter[:, 0, 0].tolist(), [89, 178, 0], rtol=0, atol=1)
    assert brighter[:, 0, 1].tolist() == [76, 76, 76] and brighter[:, 1, 0].tolist() == [255] * 3
    flat = corrupted(image, [0], "contrast", 2)[0, 2]
    mean = image[0, 2].float().mean()
    assert_close(flat.float(), (image[0, 2].float() + mean) / 2, rtol=0, atol=0.51)


def test_every_corruption_that_may_be_named_is_there():
    assert tuple(corruptions._CORRUPTIONS) == CORRUPTIONS
    assert all(len(constants) == len(STRENGTHS) for _, constants in corruptions._CORRUPTIONS.values())
