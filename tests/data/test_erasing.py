import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from espalier.data.augment import erasing
from espalier.data.augment.erasing import RandomErasing, normal
from support.data_samples import policy

SIZE, COUNT = 12, 4000
USUAL = ((0.02, 0.33), (0.3, 3.3))


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


@pytest.mark.parametrize("channels", [3, 1])
def test_the_rectangle_is_that_of_torchvisions_erase(channels):
    operation = RandomErasing(0.8, *USUAL, 1.5)
    table = operation.draw(rng(), 300, SIZE)
    inputs = torch.randn(300, SIZE, SIZE, channels, generator=torch.Generator().manual_seed(0))
    out = operation.apply(inputs.clone(), *table)
    for before, after, top, bottom, left, right in zip(
        inputs, out, *(edge.tolist() for edge in table[:4]), strict=True
    ):
        value = torch.tensor(1.5)
        expected = v2.functional.erase(before.permute(2, 0, 1), top, left, bottom - top, right - left, value)
        assert torch.equal(after.permute(2, 0, 1), expected)


@pytest.mark.parametrize(("scale", "ratio"), [USUAL, ((0.3, 0.9), (0.2, 2.0))])
def test_drawn_rectangles_follow_torchvisions(scale, ratio):
    top, bottom, left, right, _ = (
        edge.numpy() for edge in RandomErasing(1.0, scale, ratio, 0.0).draw(rng(), COUNT, SIZE)
    )
    torch.manual_seed(0)
    reference = v2.RandomErasing(1.0, scale, ratio)
    drawn = [reference.make_params([torch.empty(3, SIZE, SIZE)]) for _ in range(COUNT)]
    boxes = [(each["i"], each["j"], each["h"], each["w"]) if each["v"] is not None else (0, 0, 0, 0) for each in drawn]
    ours = np.stack([top, left, bottom - top, right - left], 1)
    assert ours.mean(0) == pytest.approx(np.mean(boxes, 0), abs=0.25)
    assert ours.std(0) == pytest.approx(np.std(boxes, 0), abs=0.2)
    assert (ours[:, 2] == 0).mean() == pytest.approx(np.mean([box[2] == 0 for box in boxes]), abs=0.03)
    assert (bottom <= SIZE).all()
    assert (right <= SIZE).all()
    assert (top[bottom > 0] + 1 <= bottom[bottom > 0]).all()


def test_images_stay_whole_with_probability_1_minus_p():
    operation = RandomErasing(0.25, *USUAL, 0.0)
    out = operation.apply(torch.ones(COUNT, SIZE, SIZE, 3), *operation.draw(rng(), COUNT, SIZE))
    assert (out == 0).flatten(1).any(1).float().mean() == pytest.approx(0.25, abs=0.03)


def test_noise_is_normal_independent_and_of_the_sample_alone():
    seed = torch.from_numpy(rng().integers(0, 1 << 31, 2000))
    noise = normal(seed.view(-1, 1), torch.arange(48), 48)
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert (noise**4).mean() == pytest.approx(3, abs=0.1)
    correlation = torch.corrcoef(noise.T) - torch.eye(48)
    assert correlation.abs().max() < 5 / 2000**0.5
    assert torch.equal(normal(seed[7:9].view(-1, 1), torch.arange(48), 48), noise[7:9])


def test_noise_is_drawn_where_the_box_is_and_nowhere_else(monkeypatch):
    box = torch.zeros(5, 6, 12)
    box[1, 2:4, 3:9] = box[4] = 1
    seed, counted = torch.arange(5), []

    def counting(*parts):
        counted.append(torch.broadcast_tensors(*parts[:2])[0].numel())
        return normal(*parts)

    monkeypatch.setattr(erasing, "normal", counting)
    drawn = erasing.noise(seed, box)
    assert torch.equal(drawn, normal(seed.view(-1, 1), torch.arange(72), 72).view_as(box) * box)
    assert counted == [box.sum()]


def test_random_fills_the_rectangle_with_noise_and_nothing_else():
    operation = RandomErasing(1.0, *USUAL, "random")
    table = operation.draw(rng(), 200, SIZE)
    out = operation.apply(torch.full((200, SIZE, SIZE, 3), 100.0), *table)
    area = (table[1] - table[0]) * (table[3] - table[2])
    assert torch.equal((out != 100).all(3).sum((1, 2)), area)
    assert out[out != 100].std() == pytest.approx(1, abs=0.03)


def test_a_scale_above_the_whole_image_is_refused():
    with pytest.raises(ValueError, match=r"scale ends at 1\.5"):
        policy({"name": "random_erasing", "scale": [0.1, 1.5]})
