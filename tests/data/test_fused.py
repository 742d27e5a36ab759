import sys

import numpy as np
import pytest
import torch

from espalier.data import compiling
from espalier.data import resident as module
from espalier.data.augment.colour import ColorJitter
from espalier.data.normalization import Normalization
from support.data_samples import policy, resident

pytest.importorskip("numba")

from espalier.data import fused

CPU = torch.device("cpu")
COUNT = 40
CROP = {"name": "pad_crop", "padding": 3}
JITTER = {"name": "color_jitter", "brightness": 0.6, "contrast": 0.5, "saturation": 0.7, "hue": 0.3}
POLICIES = {
    "none": (),
    "crop": (CROP,),
    "flips": ("horizontal_flip", "vertical_flip"),
    "crop, flip": (CROP, "horizontal_flip"),
    "flip, crop, flip": ("horizontal_flip", CROP, "vertical_flip"),
    "two crops": (CROP, "horizontal_flip", CROP),
    "a crop wider than the image": ({"name": "pad_crop", "padding": 60}, "horizontal_flip"),
    "rotation": (CROP, "horizontal_flip", "rotation", "horizontal_flip"),
    "jitter": (JITTER,),
    "crop, jitter, flip": (CROP, JITTER, "horizontal_flip"),
    "AutoAugment, cutout": (CROP, "autoaugment", {"name": "cutout", "size": 5, "p": 0.7}),
    "erasing": ("horizontal_flip", {"name": "random_erasing", "value": "random", "p": 0.8}),
    "mixup": (CROP, "mixup"),
    "cutout, cutmix": ("horizontal_flip", {"name": "cutout", "size": 5}, "cutmix"),
    "either": (CROP, "mixup_or_cutmix"),
}


def images(size, channels=3, count=COUNT):
    draw = torch.Generator().manual_seed(size)
    return torch.randint(0, 256, (count, size, size, channels), dtype=torch.uint8, generator=draw)


def normalization(size, channels):
    return Normalization([0.49, 0.48, 0.44][:channels], [0.247, 0.243, 0.261][:channels], size, CPU)


def bits(inputs):
    return inputs.contiguous().view(torch.int32)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [1, 4, 7, 32])
@pytest.mark.parametrize("name", POLICIES)
def test_kernels_make_the_bits_of_the_torch_operations(name, size, channels):
    chosen, source = policy(*POLICIES[name]), images(size, channels)
    before, normalize = source.clone(), normalization(size, channels)
    tables = chosen.draw(seed=3, epoch=1, count=COUNT, size=size, device=CPU)
    windowed = chosen.windowed(tables, size)
    samples = torch.arange(COUNT).flip(0)[3:]
    expected = chosen.inputs(source, samples, tables, normalize)
    found = chosen.inputs(source, samples, windowed, normalize, fused)
    assert torch.equal(bits(found), bits(expected))
    assert torch.equal(source, before)
    if chosen.mixes:
        wanted, weight = chosen.mix(expected[:-1], expected[1:], samples[:-1], tables)
        mixed, same = chosen.mix(found[:-1], found[1:], samples[:-1], windowed, fused)
        assert torch.equal(bits(mixed), bits(wanted))
        assert torch.equal(weight, same)


@pytest.mark.parametrize("seed", range(5))
def test_every_value_is_normalized_to_the_same_bits(seed):
    rng = np.random.Generator(np.random.PCG64(seed))
    mean, std = rng.uniform(0, 1, (2, 3)).tolist()
    values = torch.arange(256, dtype=torch.uint8).view(4, 8, 8, 1).expand(-1, -1, -1, 3).contiguous()
    normalize, every = Normalization(mean, std, 8, CPU), torch.arange(4)
    window = torch.tensor([[0, 7, 0, 7], [0, 7, 7, 0]])
    straight = fused.cropped(values, every, window, torch.zeros(4, dtype=torch.int64), normalize)
    mirrored = fused.cropped(values, every, window, torch.ones(4, dtype=torch.int64), normalize)
    for found in (straight, mirrored.flip(2), fused.normalized(values, None, normalize)):
        assert torch.equal(bits(found), bits(normalize(values)))


@pytest.mark.parametrize("operation", range(4))
def test_colours_change_to_the_same_values(operation):
    """A million colours, few levels apart and many, under factors at and between the ends of their range."""
    spread = [0.0] * 4
    spread[operation] = 0.5 if operation == 3 else 1.0
    jitter = ColorJitter(*spread)
    rng = np.random.Generator(np.random.PCG64(operation))
    levels = rng.integers(0, 256, (64, 128, 128, 3))
    levels[:16] = levels[:16, :, :, :1] + rng.integers(0, 3, (16, 128, 128, 3))
    levels[16:20] = 255 * (levels[16:20] > 127)
    source = torch.from_numpy(levels.clip(0, 255).astype(np.uint8))
    order, factors = jitter.draw(rng, len(source), 128)
    factors[:3, 0] = torch.tensor([-0.5, 0.0, 0.5]) + (operation < 3)
    expected = jitter.apply(source.clone(), order, factors)
    found = fused.changing(jitter)(source.clone(), order, factors)
    assert not torch.equal(expected, source)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", ["crop, flip", "mixup", "cutout, cutmix", "crop, jitter, flip"])
@pytest.mark.parametrize("where", [{}, {"rank": 1, "world": 3}, {"first_step": 2}])
def test_an_epoch_is_the_same_whether_its_images_are_worth_kernels_or_not(name, where, tmp_path, monkeypatch):
    data = resident(tmp_path)
    arguments = {"epoch": 1, "seed": 5, "batch_size": 7} | where
    expected = list(data.train_batches(policy(*POLICIES[name]), **arguments))
    monkeypatch.setattr(module, "_WORTH", 0)
    found = list(data.train_batches(policy(*POLICIES[name]), **arguments))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(bits(one.inputs), bits(other.inputs))
        assert torch.equal(one.labels, other.labels)
        if other.weight is not None:
            assert torch.equal(one.weight, other.weight)


def test_kernels_are_loaded_only_where_they_pay(monkeypatch):
    few, many = images(8), torch.empty(module._WORTH, dtype=torch.uint8)
    assert module.kernels(few) is None
    assert module.kernels(many) is fused
    assert module.kernels(many.to("meta")) is None
    monkeypatch.setitem(sys.modules, "espalier.data.fused", None)
    monkeypatch.delattr("espalier.data.fused")
    assert module.kernels(many) is None


def test_without_a_folder_for_the_cache_functions_are_compiled_all_the_same(monkeypatch):
    import numba

    real = numba.njit

    def njit(function, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(function, **options)

    monkeypatch.setattr(numba, "njit", njit)
    assert compiling.compiled(lambda value: value + 1)(2) == 3


def test_fma_rounds_once():
    """(1 + e)² - (1 + 2e) is e², which a rounded product has lost."""
    e = np.float32(2**-12)

    @compiling.compiled
    def difference(value, other):
        return compiling.fma(value, value, other)

    assert difference(np.float32(1) + e, -(np.float32(1) + 2 * e)) == e * e
