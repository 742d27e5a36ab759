from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from espalier.data.augment.erasing import Cutout
from espalier.data.augment.mixing import Cutmix, Mixup
from espalier.data.augment.shift_flip import HorizontalFlip, PadCrop
from espalier.data.operations import Geometry, Pixels
from espalier.data.policy import Policy
from espalier.data.sampling import gather
from espalier.settings.registry import choice, entries
from support.data_samples import policy, resident

COUNT, SIZE = 40, 7


def images(count=COUNT, size=SIZE):
    """uint8 (n, H, W, C), never black, so that black is the border's alone."""
    return torch.randint(1, 256, (count, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def augmented(operations, tables, source):
    """The uint8 images that `operations` make under given tables."""
    applied = Policy([SimpleNamespace(build=lambda each=each: each) for each in operations])
    return applied.inputs(source, torch.arange(len(source)), tables, lambda x: x)


def cropped(image, down, right, padding):
    """Zero-pad and slice, the plain way."""
    padded = pad(image, (0, 0, padding, padding, padding, padding))
    size = len(image)
    return padded[down + padding : down + padding + size, right + padding : right + padding + size]


def test_pad_crop_is_zero_pad_and_slice_for_every_offset():
    padding = 3
    offsets = torch.cartesian_prod(*[torch.arange(-padding, padding + 1)] * 2)
    source = images(len(offsets))
    out = augmented([PadCrop(padding)], [(offsets[:, 0], offsets[:, 1])], source)
    for image, result, (down, right) in zip(source, out, offsets.tolist(), strict=True):
        assert torch.equal(result, cropped(image, down, right, padding))


def test_flip_is_torch_flip_of_the_drawn_images():
    source, flipped = images(), torch.arange(COUNT) % 3 == 0
    out = augmented([HorizontalFlip(0.5)], [(flipped,)], source)
    assert torch.equal(out[flipped], source[flipped].flip(2))
    assert torch.equal(out[~flipped], source[~flipped])


def test_composed_geometry_is_one_operation_after_the_other():
    operations = [PadCrop(2), HorizontalFlip(0.5), PadCrop(3)]
    tables = [operation.draw(rng(seed), COUNT, SIZE) for seed, operation in enumerate(operations)]
    source = images()
    step = source
    for operation, table in zip(operations, tables, strict=True):
        step = augmented([operation], [table], step)
    assert torch.equal(augmented(operations, tables, source), step)
    assert (step == 0).any()


class Transpose(Geometry):
    """Rows and columns exchanged: a geometry that is no shift or flip, so rows and columns are full maps."""

    def draw(self, rng, count, size):
        return ()

    def source(self, rows, cols, size, *table):
        return cols.expand(-1, size, -1), rows.expand(-1, -1, size)


class Invert(Pixels):
    def draw(self, rng, count, size):
        return (torch.from_numpy(rng.integers(0, 2, count) * 255).to(torch.uint8),)

    def apply(self, images, *table):
        return images ^ table[0].view(-1, 1, 1, 1)


def test_geometry_of_full_maps_composes_with_shifts():
    crop, source = PadCrop(2), images()
    table = crop.draw(rng(), COUNT, SIZE)
    expected = augmented([crop], [table], source.transpose(1, 2).contiguous())
    assert torch.equal(augmented([Transpose(), crop], [(), table], source), expected)


def test_gather_is_the_same_by_full_maps_and_by_rows_and_columns():
    rows, cols = torch.randint(-3, SIZE + 3, (COUNT, SIZE, 1)), torch.randint(-3, SIZE + 3, (COUNT, 1, SIZE))
    index = torch.randint(0, COUNT, (COUNT,))
    full = (-1, SIZE, SIZE)
    expected = gather(images(), index, rows.expand(full), cols.expand(full))
    assert torch.equal(gather(images(), index, rows, cols), expected)


def test_values_and_geometry_keep_the_order_of_the_policy():
    crop, invert, source = PadCrop(2), Invert(), images()
    table, inverted = crop.draw(rng(), COUNT, SIZE), invert.draw(rng(1), COUNT, SIZE)
    every = inverted[0].view(-1, 1, 1, 1)
    assert torch.equal(augmented([crop, invert], [table, inverted], source), augmented([crop], [table], source) ^ every)
    assert torch.equal(augmented([invert, crop], [inverted, table], source), augmented([crop], [table], source ^ every))


@pytest.mark.parametrize("side", [1, 3, 4, 20])
def test_cutout_is_a_square_around_any_pixel_cut_at_the_edges(side):
    top, left, sides = Cutout(side, 1.0).draw(rng(), 500, SIZE)
    out = Cutout(side, 1.0).apply(torch.ones(500, SIZE, SIZE, 3), top, left, sides)
    for image, row, column in zip(out, (top + side // 2).tolist(), (left + side // 2).tolist(), strict=True):
        expected = torch.ones(SIZE, SIZE, 3)
        first, start = max(0, row - side // 2), max(0, column - side // 2)
        expected[first : row - side // 2 + side, start : column - side // 2 + side] = 0
        assert torch.equal(image, expected)
        assert image[row, column].sum() == 0
    assert len(set(zip(top.tolist(), left.tolist(), strict=True))) == SIZE**2


def test_cutout_leaves_images_whole_with_probability_1_minus_p():
    operation = Cutout(3, 0.25)
    out = operation.apply(torch.ones(4000, SIZE, SIZE, 3), *operation.draw(rng(), 4000, SIZE))
    assert (out == 0).flatten(1).any(1).float().mean() == pytest.approx(0.25, abs=0.03)


def test_cutmix_weights_are_the_area_that_stays_exactly():
    operation = Cutmix(1.0)
    own, other = torch.zeros(2000, SIZE, SIZE, 3), torch.ones(2000, SIZE, SIZE, 3)
    mixed, weight = operation.mix(own, other, *operation.draw(rng(), 2000, SIZE))
    pasted = mixed[..., 0].sum((1, 2)).double()
    assert set(mixed.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(weight, (1 - pasted / SIZE**2).float())
    boxes = mixed[..., 0].amax(1).sum(1) * mixed[..., 0].amax(2).sum(1)
    assert torch.equal(boxes.double(), pasted)
    assert len(weight.unique()) > 10


def test_cutmix_boxes_have_the_drawn_area_before_they_are_cut_at_the_edges():
    size = 64
    top, bottom, left, right, _ = Cutmix(1.0).draw(rng(), 2000, size)
    side = 2 * torch.from_numpy(0.5 * np.sqrt(1 - rng().beta(1.0, 1.0, 2000)) * size).long()
    rows, cols = (top > 0) & (bottom < size), (left > 0) & (right < size)
    assert rows.sum() > 200
    assert torch.equal((bottom - top)[rows], side[rows])
    assert torch.equal((right - left)[cols], side[cols])


def test_cutmix_pastes_the_partner_bit_for_bit():
    draw = torch.Generator().manual_seed(0)
    own, other = torch.randn(2, COUNT, SIZE, SIZE, 3, generator=draw) * 1e3
    mixed, _ = Cutmix(1.0).mix(own, other, *Cutmix(1.0).draw(rng(), COUNT, SIZE))
    assert ((mixed == own) | (mixed == other)).all()


def test_mixup_is_the_weighted_mean_under_the_weight_it_returns():
    draw = torch.Generator().manual_seed(0)
    own, other = torch.randn(2, COUNT, SIZE, SIZE, 3, generator=draw)
    mixed, weight = Mixup(0.4).mix(own, other, *Mixup(0.4).draw(rng(), COUNT, SIZE))
    share = weight.double().view(-1, 1, 1, 1)
    torch.testing.assert_close(mixed.double(), own.double() * share + other.double() * (1 - share), atol=1e-6, rtol=0)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_mixup_weights_follow_the_beta_distribution(alpha):
    (weight,) = Mixup(alpha).draw(rng(), 20_000, SIZE)
    assert weight.mean() == pytest.approx(0.5, abs=0.01)
    assert weight.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


def test_shifts_are_uniform_independent_and_drawn_for_each_sample():
    down, right = PadCrop(2).draw(rng(), 50_000, SIZE)
    counts = torch.bincount((down + 2) * 5 + right + 2, minlength=25) / 50_000
    assert counts.numpy() == pytest.approx(1 / 25, abs=0.005)


def test_flips_are_drawn_for_each_sample_with_probability_p():
    assert HorizontalFlip(0.3).draw(rng(), 50_000, SIZE)[0].float().mean() == pytest.approx(0.3, abs=0.01)
    assert not HorizontalFlip(0.0).draw(rng(), 100, SIZE)[0].any()
    assert HorizontalFlip(1.0).draw(rng(), 100, SIZE)[0].all()


def test_tables_differ_by_seed_epoch_and_place_in_the_policy():
    twice = policy("pad_crop", "pad_crop")
    draws = {
        (seed, epoch, place): tuple(table[0].tolist())
        for seed in range(2)
        for epoch in range(2)
        for place, table in enumerate(twice.draw(seed=seed, epoch=epoch, count=30, size=SIZE, device="cpu"))
    }
    assert len(set(draws.values())) == 8


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (("cutout", "pad_crop"), "PadCrop works on uint8 images and must stand before Cutout"),
        (("mixup", "horizontal_flip"), "HorizontalFlip works on uint8 images and must stand before Mixup"),
        (("mixup", "cutmix"), "one operation may mix"),
    ],
)
def test_a_policy_in_an_impossible_order_is_refused(augment, message):
    with pytest.raises(ValueError, match=message):
        policy(*augment)


@pytest.mark.parametrize("name", entries("augmentation"))
def test_every_augmentation_gives_an_epoch_and_states_its_stage(name, tmp_path):
    data = resident(tmp_path)
    batches = list(data.train_batches(policy(name), epoch=0, seed=0, batch_size=8))
    assert sum(len(batch.inputs) for batch in batches) == data.size("train")
    assert all(batch.inputs.isfinite().all() for batch in batches)
    entry = entries("augmentation")[name]
    assert entry.facts["stage"] == policy(name).operations[0].stage
    assert choice("augmentation")
