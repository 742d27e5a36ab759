import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from espalier.data import colour_arithmetic as colour
from espalier.data import tones
from espalier.data.grouping import grouped
from support.data_samples import policy
from support.within_rounding import wrong_in_colours

SHAPES = [(48, 32, 32, 3), (48, 7, 5, 3), (24, 5, 9, 1), (8, 2, 6, 3)]
FACTORS = {
    "adjust_brightness": (0, 2.5),
    "adjust_contrast": (0, 2.5),
    "adjust_saturation": (0, 2.5),
    "adjust_hue": (-0.5, 0.5),
    "adjust_sharpness": (0, 2.5),
    "posterize": (0, 8),
    "solarize": (0, 255),
}
PLAIN = ("equalize", "autocontrast", "invert", "rgb_to_grayscale")


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def images(shape, seed=0):
    """Noise, and dull, few-coloured, gray and single-coloured images."""
    values = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    part = len(values) // 6
    values[:part] = values[:part] // 4 + 90
    values[part : 2 * part] //= 64
    values[2 * part : 3 * part] = values[2 * part : 3 * part, ..., :1]
    values[3 * part] = values[3 * part, :1, :1]
    return values


def ours(name):
    return getattr(colour, name, None) or getattr(tones, name)


def theirs(name, batch, *parameters):
    """torchvision's result, image by image."""
    planes = [image.permute(2, 0, 1).contiguous() for image in batch]
    done = [getattr(functional, name)(*each) for each in zip(planes, *parameters, strict=True)]
    return torch.stack([image.expand(batch.shape[3], -1, -1).permute(1, 2, 0) for image in done])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FACTORS)
def test_pixels_equal_torchvisions_under_drawn_parameters(name, shape):
    batch, (low, high) = images(shape), FACTORS[name]
    parameter = rng().uniform(low, high, len(batch))
    parameter[:3] = low, high, 0.5 * (low + high)
    if name == "posterize":
        parameter = parameter.round().astype(int)
    result = ours(name)(batch.clone(), torch.from_numpy(parameter))
    for found, image, value in zip(result, batch, parameter.tolist(), strict=True):
        assert not wrong_in_colours(found, image, name, value).any(), value


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", PLAIN)
def test_pixels_equal_torchvisions(name, shape):
    batch = images(shape)
    assert torch.equal(ours(name)(batch.clone()), theirs(name, batch))


def test_hue_equals_torchvisions_for_every_order_of_channels_and_ties():
    levels = torch.tensor([0, 1, 2, 63, 64, 127, 128, 200, 254, 255], dtype=torch.uint8)
    every = torch.cartesian_prod(levels, levels, levels).view(1, 50, 20, 3)
    turns = torch.cat([torch.arange(-12, 13, dtype=torch.float64) / 24, torch.tensor([1e-9, -1e-9, 1 / 6])])
    batch = every.expand(len(turns), -1, -1, -1).contiguous()
    assert torch.equal(colour.adjust_hue(batch, turns), theirs("adjust_hue", batch, turns.tolist()))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_planes_are_the_channels_and_back(channels):
    batch = images((48, 7, 5, channels))
    planes = colour.planes_of(batch)
    assert torch.equal(planes, batch.permute(0, 3, 1, 2).flatten(2).float())
    assert torch.equal(colour.images_of(planes, batch.shape), batch)


def test_grouped_samples_pass_their_operations_in_their_own_order():
    kinds = torch.from_numpy(rng().integers(0, 3, (50, 4)))
    amounts = torch.from_numpy(rng(1).integers(1, 9, (50, 4)))
    operations = [
        lambda rows, by: rows,
        lambda rows, by: rows.add_(by.view(-1, 1)),
        lambda rows, by: rows * by.view(-1, 1),
    ]
    rows = torch.arange(100).view(50, 2)
    expected = []
    for row, names, bys in zip(rows.tolist(), kinds.tolist(), amounts.tolist(), strict=True):
        for name, by in zip(names, bys, strict=True):
            row = [(value, value + by, value * by)[name] for value in row]
        expected.append(row)
    assert grouped(rows, kinds, operations, amounts).tolist() == expected


JITTER = {"brightness": 0.4, "contrast": 0.3, "saturation": 1.5, "hue": 0.1}


def jitter(**settings):
    return policy({"name": "color_jitter", **settings}).operations[0]


@pytest.mark.parametrize("channels", [3, 1])
def test_jitter_is_torchvisions_operations_in_the_drawn_order(channels):
    batch, operation = images((60, 16, 16, channels)), jitter(**JITTER)
    order, factors = operation.draw(rng(), len(batch), 16)
    names, before = [f"adjust_{name}" for name in JITTER], batch
    for steps in range(1, len(JITTER) + 1):
        after = operation.apply(batch.clone(), order[:, :steps], factors[:, :steps])
        taken = zip(order[:, steps - 1].tolist(), factors[:, steps - 1].tolist(), strict=True)
        for image, result, (kind, value) in zip(before, after, taken, strict=True):
            assert not wrong_in_colours(result, image, names[kind], value).any(), (names[kind], value)
        before = after


def test_jitter_factors_are_uniform_over_torchvisions_ranges():
    reference = v2.ColorJitter(**JITTER)
    order, factors = jitter(**JITTER).draw(rng(), 30_000, 16)
    for kind, name in enumerate(JITTER):
        low, high = getattr(reference, name)
        drawn = factors[order == kind].sort().values
        assert len(drawn) == 30_000
        distance = (drawn - low) / (high - low) - torch.arange(30_000) / 30_000
        assert distance.abs().max() < 1.63 / 30_000**0.5


def test_jitter_orders_are_all_24_equally_often():
    order, _ = jitter(**JITTER).draw(rng(), 48_000, 16)
    counts = torch.unique(order, dim=0, return_counts=True)[1]
    assert counts.tolist() == pytest.approx([2000] * 24, rel=0.1)


def test_jitter_leaves_out_operations_without_strength():
    order, factors = jitter(hue=0.2).draw(rng(), 100, 16)
    assert order.shape == (100, 1)
    batch = images((100, 8, 8, 3))
    assert torch.equal(jitter(hue=0.2).apply(batch.clone(), order, factors), colour.adjust_hue(batch, factors[:, 0]))
    nothing = jitter()
    assert torch.equal(nothing.apply(batch.clone(), *nothing.draw(rng(), 100, 8)), batch)


@pytest.mark.parametrize(("p", "channels"), [(0.0, 3), (0.3, 3), (1.0, 3), (1.0, 1)])
def test_grayscale_takes_the_colour_of_drawn_images_alone(p, channels):
    batch = torch.randint(0, 256, (2000, 3, 3, channels), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    operation = policy({"name": "grayscale", "p": p}).operations[0]
    (drawn,) = operation.draw(rng(), 2000, 3)
    assert drawn.float().mean() == pytest.approx(p, abs=0.04)
    expected = torch.where(drawn.view(-1, 1, 1, 1), theirs("rgb_to_grayscale", batch), batch)
    assert torch.equal(operation.apply(batch.clone(), drawn), expected)
