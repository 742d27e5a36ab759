from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional
from torchvision.transforms.v2.functional._geometry import _do_native_uint8_resize_on_cpu, _get_inverse_affine_matrix

from espalier.data import sampling
from espalier.data.augment.affine import Affine
from espalier.data.augment.perspective import Perspective
from espalier.data.augment.resized_crop import random_resized_crop
from espalier.data.augment.rotation import Rotation
from espalier.data.augment.shift_flip import HorizontalFlip, PadCrop, VerticalFlip
from espalier.data.policy import Policy
from espalier.data.sampling import gather, packed, unpacked
from espalier.data.warp import affine, inverse_affine, perspective_coefficients
from support.data_samples import policy
from support.within_rounding import affine_places, perspective_places, wrong_in_warps

COUNT = 60
BOTH = pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
SHAPES = pytest.mark.parametrize(("size", "channels"), [(7, 3), (32, 3), (32, 1), (45, 3)])
WIDE = Affine(180.0, (0.3, 0.2), (0.5, 2.0), 30.0, "nearest")


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def images(size, channels=3, count=COUNT):
    draw = torch.Generator().manual_seed(size)
    return torch.randint(1, 256, (count, size, size, channels), dtype=torch.uint8, generator=draw)


def augmented(source, *steps):
    """The uint8 images that operations make under given tables, each step (operation, table)."""
    applied = Policy([SimpleNamespace(build=lambda each=each: each) for each, _ in steps])
    return applied.inputs(source, torch.arange(len(source)), [table for _, table in steps], lambda x: x)


def one_by_one(function, source, *parameters):
    """torchvision's function of every image alone."""
    out = [function(image, *each) for image, *each in zip(source.permute(0, 3, 1, 2), *parameters, strict=True)]
    return torch.stack(out).permute(0, 2, 3, 1)


def test_inverse_matrices_are_torchvisions_bit_for_bit():
    parameters = WIDE.parameters(rng(), 2000, 32)
    shear = parameters[3] + rng(1).uniform(-30, 30, (2000, 2))
    rows = zip(*(each.tolist() for each in (*parameters[:3], shear)), strict=True)
    expected = torch.tensor([_get_inverse_affine_matrix([-3.5, 2.0], *row) for row in rows]).view(-1, 2, 3)
    assert torch.equal(inverse_affine(*parameters[:3], shear, center=(-3.5, 2.0)), expected)


@BOTH
@SHAPES
@pytest.mark.parametrize("fill", [0, None])
def test_affine_is_torchvisions_on_every_image(size, channels, interpolation, fill):
    source, parameters = images(size, channels), WIDE.parameters(rng(size), COUNT, size)
    mode, rows = InterpolationMode(interpolation), [each.tolist() for each in parameters]
    exact = one_by_one(
        lambda image, *each: functional.affine(image, *each, interpolation=mode, fill=fill), source.double(), *rows
    )
    places = affine_places(size, zip(*rows, strict=True))
    out = affine(source, inverse_affine(*parameters), fill, interpolation)
    assert not wrong_in_warps(out, source, places, interpolation, fill, exact).any()
    assert out.is_contiguous()
    assert (out == 0).any()


@BOTH
@SHAPES
def test_rotation_is_torchvisions_on_every_image(size, channels, interpolation):
    operation, source = Rotation(90.0, interpolation), images(size, channels)
    angles = rng().uniform(-90, 90, COUNT).tolist()
    exact = one_by_one(
        lambda image, angle: functional.rotate(image, angle, InterpolationMode(interpolation), fill=0),
        source.double(),
        angles,
    )
    places = affine_places(size, ((-(angle % 360), (0, 0), 1, (0, 0)) for angle in angles))
    out = augmented(source, (operation, operation.draw(rng(), COUNT, size)))
    assert not wrong_in_warps(out, source, places, interpolation, 0, exact).any()


@BOTH
@pytest.mark.parametrize("angle", [0.0, 90.0, -180.0, 270.0])
def test_quarter_turns_move_pixels_and_change_none(angle, interpolation):
    source = images(8)
    turn = inverse_affine(np.full(COUNT, -(angle % 360)), (0, 0), 1, (0, 0))
    assert torch.equal(affine(source, turn, 0, interpolation), source.rot90(int(angle // 90), (1, 2)))


@BOTH
@SHAPES
def test_perspective_is_torchvisions_on_every_image_and_leaves_the_rest(size, channels, interpolation):
    operation, source = Perspective(0.6, 0.7, interpolation), images(size, channels)
    (coefficients,) = operation.draw(rng(), COUNT, size)
    exact = one_by_one(
        lambda image, each: functional.perspective(
            image, None, None, InterpolationMode(interpolation), fill=0, coefficients=each
        ),
        source.double(),
        coefficients.tolist(),
    )
    out = augmented(source, (operation, (coefficients,)))
    places = perspective_places(size, coefficients.tolist())
    assert not wrong_in_warps(out, source, places, interpolation, 0, exact).any()
    still = (coefficients == torch.tensor([1.0, 0, 0, 0, 1, 0, 0, 0])).all(1)
    assert 0 < still.sum() < COUNT
    assert torch.equal(out[still], source[still])


@BOTH
@SHAPES
def test_resized_crop_is_torchvisions_on_every_image(size, channels, interpolation):
    source = images(size, channels)
    operation = random_resized_crop(scale=(0.01, 1.0), ratio=(0.3, 3.0), interpolation=interpolation)
    windows = operation.draw(rng(size), COUNT, size)
    # The edges of what may be asked: one pixel, one line, and all of it.
    for place, window in enumerate([(2, 3, 1, 1), (0, 1, size, 2), (0, 0, size, size), (size - 1, 0, 1, size)]):
        for column, value in zip(windows, window, strict=True):
            column[place] = value
    mode = InterpolationMode(interpolation)

    def theirs(source):
        return one_by_one(
            lambda image, *window: functional.resized_crop(image, *window, size=[size, size], interpolation=mode),
            source,
            *(each.tolist() for each in windows),
        )

    out = augmented(source, (operation, windows))
    # Bytes are made twice, of columns and of rows, by weights that are rounded to parts of 2^14.
    assert (out - theirs(source.double())).abs().max() <= 1 + 2 * 255 * 2**-15
    # By float32, as torchvision does on other processors, they are made once.
    if interpolation == "nearest" or _do_native_uint8_resize_on_cpu(mode):
        assert torch.equal(out, theirs(source))


@pytest.mark.parametrize("channels", [3, 1])
def test_crop_and_flips_are_torchvisions_on_every_image(channels):
    source, size, padding = images(9, channels), 9, 4
    steps = [PadCrop(padding), HorizontalFlip(0.5), VerticalFlip(0.5)]
    (down, right), (across,), (upright,) = tables = [
        each.draw(rng(seed), COUNT, size) for seed, each in enumerate(steps)
    ]

    def expected(image, down, right, across, upright):
        image = functional.crop(functional.pad(image, padding), down + padding, right + padding, size, size)
        image = functional.horizontal_flip(image) if across else image
        return functional.vertical_flip(image) if upright else image

    parameters = (each.tolist() for each in (down, right, across, upright))
    out = augmented(source, *zip(steps, tables, strict=True))
    assert torch.equal(out, one_by_one(expected, source, *parameters))


def operations(interpolation):
    return {
        "crop": PadCrop(3),
        "flip": HorizontalFlip(0.5),
        "upright": VerticalFlip(0.5),
        "rotation": Rotation(40.0, interpolation),
        "affine": Affine(20.0, (0.2, 0.2), (0.7, 1.4), 10.0, interpolation),
        "perspective": Perspective(0.5, 0.8, interpolation),
        "window": random_resized_crop(scale=(0.2, 1.0), interpolation=interpolation),
    }


@BOTH
@pytest.mark.parametrize(
    "order",
    [
        "crop flip rotation",
        "rotation crop flip",
        "perspective crop upright crop flip",
        "rotation affine",
        "window crop flip",
        "crop window rotation flip window",
        "affine flip crop perspective crop",
    ],
)
def test_geometry_composed_is_one_operation_after_the_other(order, interpolation):
    size = 16
    known = operations(interpolation)
    steps = [(known[name], known[name].draw(rng(seed), COUNT, size)) for seed, name in enumerate(order.split())]
    expected = images(size)
    for step in steps:
        expected = augmented(expected, step)
    assert torch.equal(augmented(images(size), *steps), expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_what_lies_beyond_the_first_and_the_last_image_is_black(channels):
    source, size = images(5, channels, count=2), 5
    shifts = torch.cartesian_prod(torch.arange(2), torch.arange(-6, 7), torch.arange(-6, 7), torch.arange(2))
    index, down, right, mirrored = shifts.T
    line = torch.arange(size)
    rows = line.view(1, -1, 1) + down.view(-1, 1, 1)
    cols = torch.where(mirrored.view(-1, 1, 1) == 1, size - 1 - line, line) + right.view(-1, 1, 1)
    full = (-1, size, size)
    expected = gather(source, index, rows.expand(full), cols.expand(full))
    assert torch.equal(gather(source, index, rows, cols), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_words_hold_the_pixels(channels):
    source = images(6, channels)
    assert torch.equal(unpacked(packed(source)), source)
    with pytest.raises(ValueError, match="1 or 3 channels, not 2"):
        packed(source.new_zeros(1, 2, 2, 2))


@pytest.mark.parametrize("name", ["rotation", "affine", "perspective", "random_resized_crop", "vertical_flip"])
@BOTH
def test_no_image_is_no_trouble_and_parts_change_nothing(name, interpolation, monkeypatch):
    choice = {"name": name} | ({} if name == "vertical_flip" else {"interpolation": interpolation})
    one, source = policy(choice), images(16)
    tables = one.draw(seed=0, epoch=0, count=COUNT, size=16, device="cpu")
    expected = one.inputs(source, torch.arange(COUNT), tables, lambda x: x)
    assert one.inputs(source, torch.arange(0), tables, lambda x: x).shape == (0, 16, 16, 3)
    monkeypatch.setattr(sampling, "_TOGETHER", 7 * 256)
    assert torch.equal(one.inputs(source, torch.arange(COUNT), tables, lambda x: x), expected)
    assert torch.equal(one.inputs(source, torch.arange(5, 8), tables, lambda x: x), expected[5:8])


def torchvisions(transform, size, count=1500):
    """Parameters that torchvision draws, one dictionary an image."""
    torch.manual_seed(0)
    image = torch.zeros(3, size, size, dtype=torch.uint8)
    return [transform.make_params([image]) for _ in range(count)]


def alike(own, theirs):
    return ks_2samp(np.asarray(own), np.asarray(theirs)).pvalue > 1e-3


def test_angles_are_drawn_as_torchvisions():
    (matrices,) = Rotation(25.0, "nearest").draw(rng(), 4000, 32)
    angles = torch.rad2deg(torch.atan2(matrices[:, 0, 1], matrices[:, 0, 0]))
    assert alike(-angles, [each["angle"] for each in torchvisions(v2.RandomRotation(25), 32)])


def test_affine_parameters_are_drawn_as_torchvisions():
    own = Affine(15.0, (0.1, 0.3), (0.8, 1.1), 10.0, "nearest").parameters(rng(), 6000, 32)
    theirs = torchvisions(v2.RandomAffine(15, (0.1, 0.3), (0.8, 1.1), 10), 32)
    for name, mine in zip(("angle", "translate", "scale", "shear"), own, strict=True):
        expected = np.array([each[name] for each in theirs])
        for column, other in zip(np.atleast_2d(mine.T), np.atleast_2d(expected.T), strict=True):
            assert alike(column, other), name
    for axis, farthest in enumerate((3, 10)):
        assert set(own[1][:, axis]) == set(range(-farthest, farthest + 1))
    assert len(set(own[0])) == 6000


def test_corners_are_drawn_as_torchvisions():
    (coefficients,) = Perspective(0.5, 1.0, "bilinear").draw(rng(), 4000, 32)
    theirs = np.array([each["coefficients"] for each in torchvisions(v2.RandomPerspective(0.5, 1.0), 32)])
    for own, other in zip(coefficients.numpy().T, theirs.T, strict=True):
        assert alike(own, other)
    moved = (Perspective(0.5, 0.3, "bilinear").draw(rng(), 10_000, 32)[0][:, 6] != 0).float().mean()
    assert moved == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_corners_may_move_as_far_as_the_middle(size):
    (coefficients,) = Perspective(1.0, 1.0, "bilinear").draw(rng(), 2000, size)
    assert coefficients.isfinite().all()
    unmoved = (coefficients == torch.tensor([1.0, 0, 0, 0, 1, 0, 0, 0])).all(1).float().mean()
    assert unmoved == 1 if size == 1 else unmoved < 0.1


def test_coefficients_lead_from_the_drawn_corners_to_the_images_own():
    corners = np.array([[0, 0], [31, 0], [31, 31], [0, 31]])
    ends = corners + rng().integers(-5, 6, (200, 4, 2))
    out = perspective_coefficients(corners, ends).double()[:, :, None]
    x, y = torch.from_numpy(ends).double().unbind(-1)
    scale = out[:, 6] * x + out[:, 7] * y + 1
    own = torch.stack([out[:, 0] * x + out[:, 1] * y + out[:, 2], out[:, 3] * x + out[:, 4] * y + out[:, 5]], -1)
    torch.testing.assert_close(
        own / scale[..., None], torch.from_numpy(corners).double().expand(200, -1, -1), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("ratio", [(0.01, 0.01), (100.0, 100.0)])
def test_a_window_has_a_pixel_across_at_least(ratio):
    _, _, height, width = random_resized_crop(ratio=ratio).draw(rng(), 100, 8)
    assert min(height.min(), width.min()) == 1


@pytest.mark.parametrize(
    ("scale", "ratio"),
    [((0.08, 1.0), (3 / 4, 4 / 3)), ((0.9, 1.0), (0.2, 5.0)), ((1.0, 1.0), (1.5, 2.0)), ((1.0, 1.0), (0.3, 0.7))],
)
def test_windows_are_drawn_as_torchvisions(scale, ratio):
    own = random_resized_crop(scale=scale, ratio=ratio).draw(rng(), 6000, 32)
    theirs = torchvisions(v2.RandomResizedCrop(32, scale, ratio), 32)
    for name, mine in zip(("top", "left", "height", "width"), own, strict=True):
        expected = [each[name] for each in theirs]
        assert alike(mine, expected), name
        values, counts = np.unique(expected, return_counts=True)
        assert set(values[counts > 10]) <= set(mine.tolist())
    top, left, height, width = own
    assert ((top >= 0) & (left >= 0) & (height > 0) & (width > 0)).all()
    assert ((top + height <= 32) & (left + width <= 32)).all()
