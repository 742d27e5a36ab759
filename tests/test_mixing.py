import numpy as np
import pytest
import torch

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


def test_the_choice_is_drawn_for_each_image_with_its_probability():
    both = MixupOrCutmix(1.0, 1.0, 0.3)
    own, other = torch.zeros(20_000, 4, 4, 1), torch.ones(20_000, 4, 4, 1)
    mixed, weight = both.mix(own, other, *both.draw(rng(), 20_000, 4))
    blended = ((mixed > 0) & (mixed < 1)).flatten(1).any(1)
    assert blended.float().mean() == pytest.approx(0.7, abs=0.01)
    assert (mixed.mean((1, 2, 3)) - (1 - weight)).abs().max() < 1e-6
    runs = blended[1:] == blended[:-1]
    assert runs.float().mean() == pytest.approx(0.3**2 + 0.7**2, abs=0.02)
