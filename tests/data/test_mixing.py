import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from espalier.data.augment.mixing import Cutmix, Mixup, MixupOrCutmix

SIZE, COUNT = 9, 400


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def pair():
    return torch.randn(2, COUNT, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_one_of_the_two_alone_is_that_operation_bit_for_bit(p):
    both = MixupOrCutmix(0.4, 0.7, p)
    mixed, weight = both.mix(*pair(), *both.draw(rng(), COUNT, SIZE))
    draw = rng()
    first = Mixup(0.4).draw(draw, COUNT, SIZE)
    single, table = (Cutmix(0.7), Cutmix(0.7).draw(draw, COUNT, SIZE)) if p else (Mixup(0.4), first)
    expected, expected_weight = single.mix(*pair(), *table)
    assert torch.equal(mixed, expected)
    assert torch.equal(weight, expected_weight)


@pytest.mark.parametrize(("size", "alpha"), [(8, 1.0), (9, 0.5), (32, 1.0)])
def test_boxes_and_weights_are_drawn_as_torchvisions(size, alpha):
    top, bottom, left, right, weight = (column.numpy() for column in Cutmix(alpha).draw(rng(), 6000, size))
    torch.manual_seed(0)
    reference, images = v2.CutMix(alpha=alpha, num_classes=2), [torch.empty(2, 3, size, size)]
    drawn = [reference.make_params(images) for _ in range(6000)]
    x1, y1, x2, y2 = np.array([each["box"] for each in drawn]).T
    expected = np.array([each["lam_adjusted"] for each in drawn])
    for own, theirs in ((bottom - top, y2 - y1), (right - left, x2 - x1), (top, y1), (left, x1)):
        own, theirs = (np.bincount(each, minlength=size + 1) / 6000 for each in (own, theirs))
        assert abs(own - theirs).max() < 0.03
    assert weight.mean() == pytest.approx(expected.mean(), abs=0.015)
    assert (weight == 1).mean() == pytest.approx((expected == 1).mean(), abs=0.015)


def test_the_choice_is_drawn_for_each_image_with_its_probability():
    both = MixupOrCutmix(1.0, 1.0, 0.3)
    own, other = torch.zeros(20_000, 4, 4, 1), torch.ones(20_000, 4, 4, 1)
    mixed, weight = both.mix(own, other, *both.draw(rng(), 20_000, 4))
    blended = ((mixed > 0) & (mixed < 1)).flatten(1).any(1)
    assert blended.float().mean() == pytest.approx(0.7, abs=0.01)
    assert (mixed.mean((1, 2, 3)) - (1 - weight)).abs().max() < 1e-6
    runs = blended[1:] == blended[:-1]
    assert runs.float().mean() == pytest.approx(0.3**2 + 0.7**2, abs=0.02)
