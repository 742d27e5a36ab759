import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from espalier.data.augment.mixing import Cutmix, Mixup, MixupOrCutmix
from espalier.data.prepared import Prepared, write
from espalier.data.resident import Resident
from support.data_samples import made, policy

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


@pytest.mark.parametrize("name", ["mixup", "cutmix", "mixup_or_cutmix"])
def test_a_batch_is_mixed_by_one_draw_whatever_process_makes_it(name, tmp_path):
    """That of its first image; batches differ, and shares of a batch do not."""
    write(tmp_path / "made.safetensors", made(train=23), {"name": "made"})
    mixing = policy({"name": name, "per": "batch"})
    found = {}
    for on_device in (True, False):
        data = Resident(Prepared.read(tmp_path / "made.safetensors"), on_device=on_device)
        whole = [*data.train_batches(mixing, epoch=1, seed=3, batch_size=5)]
        assert all(batch.weight.unique().numel() == 1 for batch in whole)
        assert len(whole) == 5 and len({batch.weight[0].item() for batch in whole}) > 2
        shares = [
            [*data.train_batches(mixing, epoch=1, seed=3, batch_size=5, rank=rank, world=2, first_step=2)]
            for rank in range(2)
        ]
        for step, batch in enumerate(whole[2:]):
            parts = [own[step] for own in shares]
            assert torch.equal(torch.cat([part.inputs for part in parts]), batch.inputs)
            assert torch.equal(torch.cat([part.weight for part in parts]), batch.weight)
        found[on_device] = torch.cat([batch.inputs for batch in whole])
        # The head's own image is mixed as it is where every image has its own draw.
        alone = [*data.train_batches(policy(name), epoch=1, seed=3, batch_size=5)]
        assert [batch.weight[0] for batch in whole] == [batch.weight[0] for batch in alone]
    assert torch.equal(found[True], found[False])
