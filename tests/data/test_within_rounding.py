"""That rounding explains what it should, and nothing else."""

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from espalier.data.augment.affine import Affine
from support.within_rounding import affine_places, read, wrong_in_colours, wrong_in_warps

SIZE, COUNT = 32, 60
BOTH = pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])


@pytest.fixture
def rows():
    wide = Affine(180.0, (0.3, 0.2), (0.5, 2.0), 30.0, "nearest")
    parameters = wide.parameters(np.random.Generator(np.random.PCG64(0)), COUNT, SIZE)
    return list(zip(*(each.tolist() for each in parameters), strict=True))


@pytest.fixture
def source():
    draw = torch.Generator().manual_seed(0)
    return torch.randint(1, 255, (COUNT, SIZE, SIZE, 3), dtype=torch.uint8, generator=draw)


def wrong(values, source, rows, interpolation):
    """The share of wrong values in images that are rounded first."""
    places = affine_places(SIZE, rows)
    exact = read(source, places, interpolation, 0)
    return float(wrong_in_warps(values.round().byte(), source, places, interpolation, 0, exact).double().mean())


@BOTH
def test_torchvisions_own_images_are_right_as_this_processor_makes_them(interpolation, source, rows):
    mode = InterpolationMode(interpolation)
    images = [
        functional.affine(image, *row, interpolation=mode, fill=0).permute(1, 2, 0)
        for image, row in zip(source.permute(0, 3, 1, 2), rows, strict=True)
    ]
    assert wrong(torch.stack(images), source, rows, interpolation) == 0


@BOTH
@pytest.mark.parametrize("levels", [-1, 1])
def test_a_value_that_is_one_level_off_is_found(levels, interpolation, source, rows):
    """But for those so close to a half that rounding explains them: 6 in 1,000 between pixels."""
    values = read(source, affine_places(SIZE, rows), interpolation, 0).round() + levels
    inside = values.clamp(0, 255) == values
    found = wrong(torch.where(inside, values, values - levels), source, rows, interpolation)
    assert 0.99 * inside.double().mean() < found <= inside.double().mean()


@BOTH
def test_places_beside_their_own_are_found(interpolation, source, rows):
    places = affine_places(SIZE, rows)
    pixel = 2 / SIZE
    for beside, least in ((0.0, 0), (0.001, 1e-3), (0.01, 1e-2), (1.0, 0.5)):
        share = wrong(read(source, places + beside * pixel, interpolation, 0), source, rows, interpolation)
        assert share >= least and (share > 0) == (beside > 0)


@pytest.mark.parametrize("factor", [0.2871, 1.7113])
@pytest.mark.parametrize("name", ["adjust_contrast", "adjust_saturation", "adjust_sharpness", "adjust_brightness"])
def test_a_colour_that_is_one_level_off_is_found(name, factor, source):
    """But for those so close to a whole number that rounding explains them, and those blended with their own like."""
    for levels in (-1, 1):
        shares = []
        for image in source:
            right = getattr(functional, name)(image.permute(2, 0, 1), factor).permute(1, 2, 0)
            changed = (right > 0) & (right < 255)
            # Sharpening leaves the edge as it is.
            changed[[0, -1]] = changed[:, [0, -1]] = False
            found = wrong_in_colours(torch.where(changed, right + levels, right), image, name, factor)
            assert not found[~changed].any()
            shares.append(found[changed].double().mean())
        assert torch.stack(shares).mean() > 0.99
