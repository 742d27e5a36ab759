import math
from collections import Counter

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from espalier.data.augment import auto
from espalier.data.autoaugment_policies import POLICIES
from support.data_samples import policy
from support.within_rounding import affine_places, wrong_in_colours, wrong_in_warps

SIZE = 20
REFERENCES = {"autoaugment": v2.AutoAugment, "randaugment": v2.RandAugment, "trivialaugment": v2.TrivialAugmentWide}
PLAIN = {"Identity", "AutoContrast", "Equalize", "Invert"}
BLENDS = {"Color": "adjust_saturation", "Contrast": "adjust_contrast", "Sharpness": "adjust_sharpness"}
GEOMETRY = {"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"}


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def operation(name, **settings):
    return policy({"name": name, **settings}).operations[0]


def space(name, size):
    """Every operation of torchvision's space, with its signed magnitudes."""
    bins = 10 if name == "autoaugment" else 31
    found = {}
    for key, (magnitudes, signed) in REFERENCES[name]._AUGMENTATION_SPACE.items():
        steps = magnitudes(bins, size, size)
        steps = [0.0] if steps is None else [float(step) for step in steps]
        found[key] = steps + [-step for step in steps if signed]
    return found


def places(key, magnitude, size):
    """Where the pixels of an image come from under one of torchvision's operations of geometry."""
    lean, shift, angle = math.degrees(math.atan(magnitude)), int(magnitude), -(magnitude % 360)
    row = {
        "ShearX": (0, (0, 0), 1, (lean, 0)),
        "ShearY": (0, (0, 0), 1, (0, lean)),
        "TranslateX": (0, (shift, 0), 1, (0, 0)),
        "TranslateY": (0, (0, shift), 1, (0, 0)),
        "Rotate": (angle, (0, 0), 1, (0, 0)),
    }[key]
    corner = (-0.5 * size, -0.5 * size)
    return affine_places(size, [row], corner if key.startswith("Shear") else (0, 0))


def wrong(result, image, reference, key, magnitude):
    """Which values of a result uint8 (H, W, C) are not those of torchvision's operation on an image."""

    def theirs(image):
        planes = image.permute(2, 0, 1).contiguous()
        return reference._apply_image_or_video_transform(
            planes, key, magnitude, reference.interpolation, reference._fill
        ).permute(1, 2, 0)

    if key in BLENDS:
        return wrong_in_colours(result, image, BLENDS[key], 1.0 + magnitude)
    if key not in GEOMETRY:
        return result != theirs(image)
    exact = theirs(image.double())
    return wrong_in_warps(result[None], image[None], places(key, magnitude, len(image)), "nearest", None, exact[None])


@pytest.mark.parametrize(("size", "channels"), [(SIZE, 3), (17, 3), (17, 1)])
@pytest.mark.parametrize("name", REFERENCES)
def test_every_operation_at_every_magnitude_equals_torchvisions_pixel_by_pixel(name, size, channels):
    settings = [(key, magnitude) for key, magnitudes in space(name, size).items() for magnitude in magnitudes]
    draw = torch.Generator().manual_seed(0)
    batch = torch.randint(0, 256, (len(settings), size, size, channels), dtype=torch.uint8, generator=draw)
    table = auto.columns(settings, np.arange(len(settings))[:, None], size)
    out = operation(name).apply(batch.clone(), *table)
    for image, result, setting in zip(batch, out, settings, strict=True):
        assert not wrong(result, image, REFERENCES[name](), *setting).any(), setting


@pytest.mark.parametrize("name", [*REFERENCES])
def test_operations_follow_one_another(name):
    settings = [(key, magnitudes[-1]) for key, magnitudes in space(name, SIZE).items()]
    picks = rng().integers(len(settings), size=(60, 2))
    batch = torch.randint(0, 256, (60, SIZE, SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    table = auto.columns(settings, picks, SIZE)
    first = operation(name).apply(batch.clone(), *(column[:, :1] for column in table))
    out = operation(name).apply(batch.clone(), *table)
    for image, between, result, (one, other) in zip(batch, first, out, picks, strict=True):
        assert not wrong(between, image, REFERENCES[name](), *settings[one]).any(), settings[one]
        assert not wrong(result, between, REFERENCES[name](), *settings[other]).any(), settings[other]


@pytest.mark.parametrize("name", POLICIES)
def test_policies_are_torchvisions(name):
    reference = v2.AutoAugment(v2.AutoAugmentPolicy(name))
    assert list(POLICIES[name]) == reference._policies


@pytest.mark.parametrize("name", REFERENCES)
def test_magnitudes_and_signs_are_torchvisions(name):
    bins, wide = 10 if name == "autoaugment" else 31, name == "trivialaugment"
    for key, magnitudes in space(name, SIZE).items():
        steps = auto.magnitudes(key, bins, SIZE, wide=wide)
        assert (steps if key not in PLAIN else [0.0]) == magnitudes[: len(steps)]
        assert auto.signed(key) == (len(magnitudes) == 2 * len(steps))


def recorded(monkeypatch, drawing, count):
    """Names and magnitudes (count, k) that an operation draws."""
    seen = {}
    monkeypatch.setattr(auto, "columns", lambda settings, picks, size: seen.update(settings=settings, picks=picks))
    drawing.draw(rng(), count, SIZE)
    return [[seen["settings"][pick] for pick in row] for row in seen["picks"]]


@pytest.mark.parametrize("name", POLICIES)
def test_autoaugment_draws_pairs_operations_and_signs_as_the_policy_says(name, monkeypatch):
    count, steps = 60_000, space("autoaugment", SIZE)
    drawn = recorded(monkeypatch, operation("autoaugment", policy=name), count)
    expected = Counter()
    for pair in POLICIES[name]:
        branches = []
        for key, probability, index in pair:
            magnitude = steps[key][index or 0]
            signs = (magnitude, -magnitude) if auto.signed(key) else (magnitude,)
            applied = [((key, value), probability / len(signs)) for value in signs]
            branches.append([(("Identity", 0.0), 1 - probability), *applied])
        for first, p in branches[0]:
            for second, q in branches[1]:
                expected[first, second] += p * q / len(POLICIES[name])
    got = Counter(map(tuple, drawn))
    assert set(got) <= {pair for pair, p in expected.items() if p > 0}
    for pair, p in expected.items():
        assert abs(got[pair] / count - p) < 5 * (p * (1 - p) / count) ** 0.5 + 1e-9, pair


@pytest.mark.parametrize("name", ["randaugment", "trivialaugment"])
def test_the_14_operations_their_magnitudes_and_signs_are_drawn_evenly(name, monkeypatch):
    count, every = 84_000, space(name, SIZE)
    drawn = [pick for row in recorded(monkeypatch, operation(name), count // 2) for pick in row]
    counts = Counter(key for key, _ in drawn)
    assert set(counts) == set(every)
    assert list(counts.values()) == pytest.approx([len(drawn) / 14] * 14, rel=0.1)
    for key in set(every) - PLAIN:
        steps = auto.magnitudes(key, 31, SIZE, wide=name == "trivialaugment")
        allowed = steps if name == "trivialaugment" else [steps[9]]
        got = Counter(magnitude for each, magnitude in drawn if each == key)
        if auto.signed(key):
            assert sum(n for m, n in got.items() if m < 0) / counts[key] == pytest.approx(
                0.5 * np.mean([step > 0 for step in allowed]), abs=0.03
            )
        assert {abs(magnitude) for magnitude in got} == set(allowed)
        sizes = Counter(abs(magnitude) for each, magnitude in drawn if each == key)
        assert np.mean(list(sizes.elements())) == pytest.approx(np.mean(allowed), rel=0.05)


def test_randaugment_applies_as_many_operations_as_asked():
    kinds, magnitudes, matrices = operation("randaugment", num_ops=4).draw(rng(), 30, SIZE)
    assert kinds.shape == magnitudes.shape == matrices.shape[:2] == (30, 4)


def test_a_magnitude_beyond_the_bins_is_refused():
    with pytest.raises(ValueError, match="magnitude 31 must be below num_magnitude_bins 31"):
        operation("randaugment", magnitude=31)
