from dataclasses import replace

import numpy as np
import pytest
import torch

from espalier.data import resident as module
from espalier.data.prepared import DataError, Prepared, write
from espalier.data.resident import Resident, balanced, share
from support.data_samples import made, policy, resident

FULL = ("pad_crop", "horizontal_flip", {"name": "cutout", "size": 3, "p": 0.5})
POLICIES = [(), FULL, (*FULL, "mixup"), (*FULL, "cutmix")]


def epoch(data, augment, **kwargs):
    """The batches of an epoch laid end to end: inputs, labels, partner labels, weights."""
    kwargs = {"epoch": 1, "seed": 5, "batch_size": 8} | kwargs
    batches = list(data.train_batches(policy(*augment), **kwargs))
    fields = ("inputs", "labels", "partner_labels", "weight")
    return [
        torch.cat([getattr(batch, field) for batch in batches])
        for field in fields
        if getattr(batches[0], field) is not None
    ]


def same(one, other):
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def data(tmp_path):
    return resident(tmp_path)


@pytest.mark.parametrize("augment", POLICIES)
@pytest.mark.parametrize("batch_size", [1, 2, 7, 23, 100])
def test_an_epoch_does_not_depend_on_the_batch_size(augment, batch_size, data):
    assert same(epoch(data, augment, batch_size=batch_size), epoch(data, augment, batch_size=8))


@pytest.mark.parametrize("augment", POLICIES)
def test_an_epoch_does_not_depend_on_how_many_batches_are_made_at_once(augment, data, monkeypatch):
    expected = epoch(data, augment, batch_size=3)
    for size in (1, 2000, 5000):
        monkeypatch.setitem(module._CHUNK, "cpu", size)
        assert same(epoch(data, augment, batch_size=3), expected)


@pytest.mark.parametrize("augment", POLICIES)
@pytest.mark.parametrize("world", [2, 3, 4, 7])
def test_the_shares_of_all_processes_are_the_epoch_once(augment, world, data):
    whole = list(data.train_batches(policy(*augment), epoch=1, seed=5, batch_size=8))
    shares = [
        list(data.train_batches(policy(*augment), epoch=1, seed=5, batch_size=8, rank=rank, world=world))
        for rank in range(world)
    ]
    for step, batch in enumerate(whole):
        parts = [each[step] for each in shares]
        sizes = [len(part.inputs) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        assert {part.global_size for part in parts} == {batch.global_size} == {sum(sizes)}
        for field in ("inputs", "labels", "partner_labels", "weight"):
            if getattr(batch, field) is not None:
                assert torch.equal(torch.cat([getattr(part, field) for part in parts]), getattr(batch, field))


@pytest.mark.parametrize("augment", POLICIES)
def test_an_epoch_taken_up_at_any_step_goes_on_bit_for_bit(augment, data):
    whole = list(data.train_batches(policy(*augment), epoch=2, seed=0, batch_size=5))
    assert len(whole) == data.steps_per_epoch(5) == 5
    for first in range(6):
        rest = list(data.train_batches(policy(*augment), epoch=2, seed=0, batch_size=5, first_step=first))
        assert len(rest) == 5 - first
        for one, other in zip(rest, whole[first:], strict=True):
            assert torch.equal(one.inputs, other.inputs)
            assert torch.equal(one.labels, other.labels)


def test_every_training_image_comes_once_an_epoch_normalized_and_with_its_label(data):
    dataset = made()
    indices = dataset.splits["train"]
    mean, std = (torch.tensor(each, dtype=torch.float64).view(1, 3, 1, 1) for each in (data.mean, data.std))
    expected = (dataset.images[indices].double() / 255 - mean) / std
    inputs, labels = epoch(data, ())
    distance = (inputs.double().unsqueeze(1) - expected.unsqueeze(0)).abs().amax((2, 3, 4))
    found = distance.argmin(1)
    assert distance.min(1).values.max() < 1e-5
    assert torch.equal(found.sort().values, torch.arange(len(indices)))
    assert torch.equal(labels, dataset.labels[indices][found])


def test_the_order_differs_by_seed_and_epoch(data):
    orders = {
        tuple(epoch(data, (), seed=seed, epoch=number)[0][:, 0, 0, 0].tolist()) for seed in (0, 1) for number in (0, 1)
    }
    assert len(orders) == 4


def test_augmentation_belongs_to_the_sample_wherever_it_stands_in_the_order(data):
    """The same epoch's table gives a sample the same pixels in another order of the samples."""
    cut = policy("pad_crop", "horizontal_flip")
    tables = cut.draw(seed=0, epoch=0, count=23, size=6, device=torch.device("cpu"))
    images = data._images["train"]
    order = torch.randperm(23, generator=torch.Generator().manual_seed(3))
    straight = cut.inputs(images, torch.arange(23), tables, data._normalize)
    assert torch.equal(cut.inputs(images, order, tables, data._normalize), straight[order])
    assert not torch.equal(straight, data._normalize(images))


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_the_partner_is_the_next_of_the_epoch_and_the_last_one_has_the_first(name, data):
    inputs, labels = epoch(data, ())
    mixed, own, partner, weight = epoch(data, (name,))
    assert torch.equal(own, labels)
    assert torch.equal(partner, labels.roll(-1))
    if name == "mixup":
        share = weight.view(-1, 1, 1, 1)
        torch.testing.assert_close(mixed, inputs * share + inputs.roll(-1, 0) * (1 - share))
    else:
        assert ((mixed == inputs) | (mixed == inputs.roll(-1, 0))).all()


def test_other_test_images_change_no_batch_of_training(tmp_path, data):
    dataset = made()
    images = dataset.images.clone()
    images[dataset.splits["test"]] = 0
    write(tmp_path / "other.safetensors", replace(dataset, images=images), {})
    other = Resident.load(tmp_path / "other.safetensors")
    assert same(epoch(data, POLICIES[2]), epoch(other, POLICIES[2]))


def test_the_test_split_is_there_only_when_asked_for(tmp_path, data):
    with pytest.raises(KeyError):
        data.size("test")
    scored = Resident.load(tmp_path / "made.safetensors", splits=("test",))
    assert scored.size("test") == 7
    inputs, labels = map(torch.cat, zip(*scored.batches("test", 3), strict=True))
    dataset = made()
    assert torch.equal(labels, dataset.labels[dataset.splits["test"]])
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (scored.mean, scored.std))
    torch.testing.assert_close(inputs, (dataset.images[dataset.splits["test"]] / 255 - mean) / std)


@pytest.mark.parametrize("augment", POLICIES)
def test_memory_order_is_as_asked_and_values_are_the_same(augment, data):
    arguments = {"epoch": 0, "seed": 0, "batch_size": 8}
    rows = data.train_batches(policy(*augment), **arguments)
    planes = data.train_batches(policy(*augment), **arguments, channels_last=False)
    for one, other in zip(rows, planes, strict=True):
        assert one.inputs.is_contiguous(memory_format=torch.channels_last)
        assert other.inputs.is_contiguous()
        assert torch.equal(one.inputs, other.inputs)
    assert next(data.batches("validation", 4, channels_last=False))[0].is_contiguous()


def test_facts_of_the_data(data):
    assert (data.num_classes, data.image_size, data.channels) == (4, 6, 3)
    assert data.classes == ("ash", "beech", "cedar", "date")
    assert [data.steps_per_epoch(size) for size in (1, 8, 23, 24)] == [23, 3, 1, 1]


def test_a_channel_that_never_varies_is_only_centred(tmp_path):
    dataset = made()
    dataset.images[:, 1] = 51
    write(tmp_path / "flat.safetensors", dataset, {})
    data = Resident.load(tmp_path / "flat.safetensors")
    assert torch.cat([inputs for inputs, _ in data.batches("train", 8)])[:, 1].abs().max() < 1e-6


@pytest.mark.parametrize("world", [1, 2, 3, 8, 13])
def test_shares_are_contiguous_and_complete(world):
    parts = [share(10, 18, rank, world) for rank in range(world)]
    assert [place for part in parts for place in range(*part)] == list(range(10, 18))


def test_a_missing_file_is_one_clear_error(tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        Resident.load(tmp_path / "no.safetensors")


def test_balanced_epochs_show_each_class_alike_and_every_image_of_a_small_one():
    labels = np.array([0] * 70 + [1] * 20 + [2] * 10)
    seen = np.zeros(100, int)
    for epoch in range(1, 31):
        order = balanced(labels, seed=3, epoch=epoch).numpy()
        assert order[0] == order[-1] and len(order) == 101
        assert sorted(np.bincount(labels[order[:-1]])) == [33, 33, 34]
        times = np.bincount(order[:-1], minlength=100)
        for number in range(3):
            own = times[labels == number]
            assert own.max() - own.min() <= 1
        seen += times
    assert seen.min() >= 1
    assert torch.equal(balanced(labels, seed=3, epoch=2), balanced(labels, seed=3, epoch=2))
    assert not torch.equal(balanced(labels, seed=3, epoch=2), balanced(labels, seed=4, epoch=2))


def test_balanced_batches_are_the_same_whatever_their_size_and_wherever_images_are(tmp_path):
    write(tmp_path / "made.safetensors", made(train=50), {"name": "made"})
    prepared = Prepared.read(tmp_path / "made.safetensors")
    found = []
    for size, on_device in ((7, True), (50, True), (13, False)):
        data = Resident(prepared, on_device=on_device)
        batches = [*data.train_batches(policy(), epoch=2, seed=1, batch_size=size, sampling="balanced")]
        found.append((torch.cat([one.inputs for one in batches]), torch.cat([one.labels for one in batches])))
    for images, labels in found[1:]:
        assert torch.equal(images, found[0][0]) and torch.equal(labels, found[0][1])
    counts = torch.bincount(found[0][1], minlength=4)
    assert counts.max() - counts.min() <= 1
