"""Every augmentation on a make-believe GPU: the CPU's bits, and few waits."""

from collections import Counter

import pytest
import torch

from espalier.data import fetching, resident
from espalier.data.prepared import Prepared, write
from espalier.data.resident import Resident
from espalier.settings.registry import entries
from support.data_samples import made, policy
from support.make_believe_gpu import gpu, in_threads, on_cpu

GROUPED, EQUALIZED = {"from": 1}, {"from": 1, "size": 1}
POLICIES = {
    "affine": ([{"name": "affine", "degrees": 20, "translate": [0.1, 0.1], "scale": [0.8, 1.2], "shear": 5}], {}),
    "affine bilinear": ([{"name": "affine", "degrees": 20, "interpolation": "bilinear"}], {}),
    "autoaugment": (["autoaugment"], {"from": 1, "size": 2}),
    "randaugment": (["randaugment"], {"from": 1, "size": 2}),
    "trivialaugment": (["trivialaugment"], EQUALIZED),
    "color_jitter": ([{"name": "color_jitter", **dict.fromkeys(("brightness", "contrast", "hue"), 0.3)}], GROUPED),
    "grayscale": ([{"name": "grayscale", "p": 0.5}], GROUPED),
    "cutout": ([{"name": "cutout", "size": 3, "p": 0.5}], {}),
    "random_erasing": (["random_erasing"], {}),
    "random_erasing with noise": ([{"name": "random_erasing", "value": "random", "p": 0.9}], {}),
    "mixup": (["mixup"], {}),
    "mixup a batch": ([{"name": "mixup", "per": "batch"}], {}),
    "cutmix": (["cutmix"], {}),
    "cutmix a batch": ([{"name": "cutmix", "per": "batch"}], {}),
    "mixup_or_cutmix": (["mixup_or_cutmix"], {}),
    "perspective": ([{"name": "perspective", "p": 0.9}], {}),
    "random_resized_crop": (["random_resized_crop"], {}),
    "rotation": ([{"name": "rotation", "degrees": 15}], {}),
    "pad_crop": (["pad_crop"], {}),
    "horizontal_flip": (["horizontal_flip"], {}),
    "vertical_flip": (["vertical_flip"], {}),
    "geometry and colour": (["pad_crop", "horizontal_flip", {"name": "color_jitter", "brightness": 0.3}], GROUPED),
    "geometry twice": (["pad_crop", {"name": "rotation", "degrees": 15}, "horizontal_flip", "cutout"], {}),
}
"""Augmentations, and how often each chunk may wait for the device: once to sort samples by what is done with them, and
in each step that equalizes."""

FIELDS = ("inputs", "labels", "partner_labels", "weight")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    path = tmp_path_factory.mktemp("data") / "made.safetensors"
    write(path, made(train=91, size=8), {})
    return Prepared.read(path)


def epoch(data: Resident, augment: list) -> list:
    """The batches of an epoch, three chunks of them."""
    return list(data.train_batches(policy(*augment), epoch=1, seed=5, batch_size=16))


def parts(one, other):
    """Tensors of two epochs side by side."""
    for batch, theirs in zip(one, other, strict=True):
        for field in FIELDS:
            yield getattr(batch, field), getattr(theirs, field)


def names(augment: list) -> set[str]:
    return {one if isinstance(one, str) else one["name"] for one in augment}


def test_every_augmentation_is_here():
    assert set(entries("augmentation")) == set().union(*(names(augment) for augment, _ in POLICIES.values()))


@pytest.mark.parametrize("device", ["cuda", "mps"])
@pytest.mark.parametrize(("augment", "waits"), POLICIES.values(), ids=POLICIES)
def test_an_epoch_on_a_gpu_is_the_cpus_with_few_waits(augment, waits, device, prepared, monkeypatch):
    """Metal has no float64, so that there a colour may be another by rounding."""
    monkeypatch.setattr(resident, "_CHUNK", dict.fromkeys(("cpu", "cuda", "mps"), 25_000))
    expected = epoch(Resident(prepared), augment)
    with gpu(device) as seen:
        data = Resident(prepared, device)
        seen.clear()
        found = epoch(data, augment)
    for there, here in parts(found, expected):
        if here is None:
            assert there is None
            continue
        assert there.device == torch.device(device, 0)
        if device == "cuda" or not here.is_floating_point():
            assert torch.equal(on_cpu(there), here)
        else:
            torch.testing.assert_close(on_cpu(there), here, rtol=0, atol=1.1 / 255 / min(prepared.std))
    # The tables of the epoch and its order come to the device, and with each chunk nothing.
    assert seen.waits <= Counter({"to": 9} | {kind: 3 * times for kind, times in waits.items()})


@pytest.mark.parametrize("augment", [["pad_crop", "mixup"], ["autoaugment"]])
def test_images_fetched_ahead_are_those_on_the_gpu(augment, prepared, monkeypatch):
    monkeypatch.setattr(fetching, "ThreadPoolExecutor", in_threads)
    expected = epoch(Resident(prepared), augment)
    with gpu() as seen:
        data = Resident(prepared, "cuda", on_device=False)
        found = epoch(data, augment)
        split = [one for one, _ in data.batches("validation", 3)]
    assert seen.copies["to"] > seen.waits["to"], "images arrive beside other work"
    assert all(torch.equal(on_cpu(there), here) for there, here in parts(found, expected) if here is not None)
    assert len(split) == 2 and all(one.is_cuda for one in split)
