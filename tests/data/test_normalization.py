import numba
import numpy as np
import pytest
import torch

from espalier.data import normalization as module
from espalier.data import resident as resident_module
from espalier.data.normalization import Normalization
from espalier.data.prepared import Prepared
from espalier.data.resident import Resident
from espalier.data.sampling import gather
from support.data_samples import policy, resident

CPU = torch.device("cpu")
COUNT = 40
CROP = {"name": "pad_crop", "padding": 3}
NEAREST = {"name": "random_resized_crop", "interpolation": "nearest"}
POLICIES = {
    "none": (),
    "crop": (CROP,),
    "flips": ("horizontal_flip", "vertical_flip"),
    "flip, crop, flip": ("horizontal_flip", CROP, "vertical_flip"),
    "two crops": (CROP, "horizontal_flip", CROP),
    "a crop wider than the image": ({"name": "pad_crop", "padding": 60}, "horizontal_flip"),
    "nearest resized crop": ("horizontal_flip", NEAREST),
    "crop and flip around colours": (CROP, {"name": "color_jitter", "brightness": 0.6}, "horizontal_flip"),
    "rotation between flips": ("horizontal_flip", "rotation", "horizontal_flip"),
    "crop, cutout, mixup": (CROP, {"name": "cutout", "size": 5}, "mixup"),
}


def images(size, channels=3, count=COUNT):
    draw = torch.Generator().manual_seed(size)
    return torch.randint(0, 256, (count, size, size, channels), dtype=torch.uint8, generator=draw)


def bits(inputs):
    return inputs.contiguous().view(torch.int32)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [1, 4, 7, 32])
@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_makes_the_same_bits_with_compiled_loops(name, size, channels):
    chosen, source = policy(*POLICIES[name]), images(size, channels)
    before = source.clone()
    normalize = Normalization([0.49, 0.48, 0.44][:channels], [0.247, 0.243, 0.261][:channels], size, CPU)
    tables = chosen.draw(seed=3, epoch=1, count=COUNT, size=size, device=CPU)
    samples = torch.arange(COUNT).flip(0)[3:]
    expected = chosen.inputs(source, samples, tables, normalize)
    found = chosen.inputs(source, samples, tables, normalize, normalize.gathered)
    assert torch.equal(bits(found), bits(expected))
    assert torch.equal(source, before)


@pytest.mark.parametrize("seed", range(5))
def test_every_value_and_what_comes_from_outside_is_normalized_to_the_same_bits(seed):
    rng = np.random.Generator(np.random.PCG64(seed))
    mean, std = rng.uniform(0, 1, (2, 3)).tolist()
    # The black of a channel whose mean is 0: which zero it becomes is a bit.
    mean[0] *= seed > 0
    values = torch.arange(256, dtype=torch.uint8).view(4, 8, 8, 1).expand(-1, -1, -1, 3).contiguous()
    normalize, index = Normalization(mean, std, 8, CPU), torch.tensor([3, 0, 2, 1, 0])
    rows, cols = torch.randint(-3, 11, (5, 8, 1)), torch.randint(-3, 11, (5, 1, 8))
    rows[:4], cols[:4] = torch.arange(8).view(8, 1), torch.arange(7, -1, -1)
    found = normalize.gathered(values, index, rows, cols)
    assert torch.equal(bits(found), bits(normalize(gather(values, index, rows, cols))))
    assert torch.equal(bits(found[:4].flip(2)), bits(normalize(values[index[:4]])))


@pytest.mark.parametrize("name", ["flip, crop, flip", "crop, cutout, mixup"])
@pytest.mark.parametrize("where", [{}, {"rank": 1, "world": 3}, {"first_step": 2}])
def test_an_epoch_is_the_same_with_compiled_loops(name, where, tmp_path):
    resident(tmp_path)
    prepared = Prepared.read(tmp_path / "made.safetensors")
    arguments = {"epoch": 1, "seed": 5, "batch_size": 7} | where
    plain, compiled = (
        list(Resident(prepared, compiled=compiled).train_batches(policy(*POLICIES[name]), **arguments))
        for compiled in (False, True)
    )
    assert len(plain) == len(compiled) > 0
    for one, other in zip(compiled, plain, strict=True):
        assert torch.equal(bits(one.inputs), bits(other.inputs))
        assert torch.equal(one.labels, other.labels)


def test_loops_are_compiled_only_where_many_images_are_trained_on(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(Normalization, "gathered", lambda self, *args: calls.append(args) or self(args[0][args[1]]))
    data = resident(tmp_path)
    next(data.train_batches(policy(CROP), epoch=0, seed=0, batch_size=4))
    assert not calls
    size = data._images["train"].nbytes
    for least, used in ((size + 1, False), (size, True)):
        monkeypatch.setattr(resident_module, "_WORTH", least)
        data = Resident.load(tmp_path / "made.safetensors")
        next(data.train_batches(policy(CROP), epoch=0, seed=0, batch_size=4))
        assert bool(calls) == used
    Resident.load(tmp_path / "made.safetensors", splits=("test",))


def test_without_a_folder_for_the_cache_loops_are_compiled_all_the_same(monkeypatch):
    real = numba.njit

    def njit(function, cache=False):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(function)

    monkeypatch.setattr(numba, "njit", njit)
    source, normalize = images(4), Normalization([0.5] * 3, [0.2] * 3, 4, CPU)
    every = torch.arange(4).expand(COUNT, -1)
    monkeypatch.setattr(module, "_compiled", module._compiled.__wrapped__)
    found = normalize.gathered(source, torch.arange(COUNT), every.unsqueeze(2), every.unsqueeze(1))
    assert torch.equal(bits(found), bits(normalize(source)))
