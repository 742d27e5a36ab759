"""However many processes train, an epoch is the data set exactly once, and a sample looks the same to all of them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espalier.data.prepared import Prepared, write
from espalier.data.resident import Resident, ordered, share
from support.data_samples import made, policy

IMAGES = 23
CUTS = ("pad_crop", "horizontal_flip", {"name": "cutout", "size": 3, "p": 0.5})
POLICIES = {"none": (), "cut": CUTS, "mixup": (*CUTS, "mixup"), "cutmix": (*CUTS, "cutmix")}
FIELDS = ("inputs", "labels", "partner_labels", "weight")

policies = st.sampled_from(sorted(POLICIES)).map(lambda name: policy(*POLICIES[name]))
worlds = st.integers(1, 5)
batch_sizes = st.integers(1, IMAGES + 3)
epochs = st.integers(0, 3)


@pytest.fixture(scope="module", params=[True, False], ids=["on_device", "fetched"])
def data(request, tmp_path_factory) -> Resident:
    """The label of each training sample is its number, so that a batch says whom it holds."""
    dataset = made(train=IMAGES)
    dataset.labels[dataset.splits["train"]] = torch.arange(IMAGES)
    named = type(dataset)(dataset.images, dataset.labels, dataset.splits, tuple(map(str, range(IMAGES))))
    path = tmp_path_factory.mktemp("data") / "numbered.safetensors"
    write(path, named, {})
    return Resident(Prepared.read(path), on_device=request.param)


def seen(data, augment, world, **kwargs):
    """What each process sees: rank → its batches."""
    return [list(data.train_batches(augment, seed=7, rank=rank, world=world, **kwargs)) for rank in range(world)]


@settings(max_examples=40, deadline=None)
@given(policies, worlds, batch_sizes, epochs)
def test_all_processes_together_see_every_sample_once(data, augment, world, batch_size, epoch):
    ranks = seen(data, augment, world, batch_size=batch_size, epoch=epoch)
    labels = torch.cat([batch.labels for batches in ranks for batch in batches])
    assert torch.equal(labels.sort().values, torch.arange(IMAGES))
    assert {len(batches) for batches in ranks} == {data.steps_per_epoch(batch_size)}
    if augment.mixes:
        partners = torch.cat([batch.partner_labels for batches in ranks for batch in batches])
        assert torch.equal(partners.sort().values, torch.arange(IMAGES))


@settings(max_examples=40, deadline=None)
@given(policies, worlds, batch_sizes, epochs)
def test_a_step_is_the_same_batch_whatever_the_world_size(data, augment, world, batch_size, epoch):
    ranks = seen(data, augment, world, batch_size=batch_size, epoch=epoch)
    ((*alone,),) = seen(data, augment, 1, batch_size=batch_size, epoch=epoch)
    for whole, *parts in zip(alone, *ranks, strict=True):
        sizes = [len(part.inputs) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        assert {part.global_size for part in parts} == {whole.global_size} == {sum(sizes)}
        for field in FIELDS:
            pieces = [getattr(part, field) for part in parts]
            if getattr(whole, field) is None:
                assert pieces == [None] * world
            else:
                assert torch.equal(torch.cat(pieces), getattr(whole, field))


@settings(max_examples=40, deadline=None)
@given(policies, worlds, batch_sizes, batch_sizes)
def test_an_image_depends_on_its_sample_and_epoch_alone(data, augment, world, batch_size, other):
    looks = [
        {
            int(label): image
            for batches in seen(data, augment, processes, batch_size=size, epoch=2)
            for batch in batches
            for label, image in zip(batch.labels, batch.inputs, strict=True)
        }
        for processes, size in ((world, batch_size), (1, other))
    ]
    assert looks[0].keys() == looks[1].keys() == set(range(IMAGES))
    assert all(torch.equal(looks[0][sample], looks[1][sample]) for sample in range(IMAGES))


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_sample_keeps_its_own_weight_and_the_next_of_the_order_as_its_partner(name, data):
    mixing = policy(*POLICIES[name])
    ((*batches,),) = seen(data, mixing, 1, batch_size=4, epoch=3)
    labels, partners, weights = (torch.cat([getattr(batch, field) for batch in batches]) for field in FIELDS[1:])
    order = ordered(IMAGES, seed=7, epoch=3)
    assert torch.equal(labels, order[:-1])
    assert torch.equal(partners, order[1:])
    table = mixing.draw(seed=7, epoch=3, count=IMAGES, size=data.image_size, device=data.device)[-1]
    assert torch.equal(weights, table[-1][labels])


@settings(max_examples=30, deadline=None)
@given(policies, worlds, batch_sizes, st.data())
def test_a_process_may_take_its_share_up_at_any_step(data, augment, world, batch_size, draw):
    steps = data.steps_per_epoch(batch_size)
    first = draw.draw(st.integers(0, steps), label="first step")
    whole = seen(data, augment, world, batch_size=batch_size, epoch=1)
    rest = seen(data, augment, world, batch_size=batch_size, epoch=1, first_step=first)
    for before, after in zip(whole, rest, strict=True):
        for one, other in zip(before[first:], after, strict=True):
            assert one.global_size == other.global_size
            assert torch.equal(one.inputs, other.inputs)
            assert torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("name", POLICIES)
def test_a_share_may_be_empty(name, data):
    (*steps,) = zip(*seen(data, policy(*POLICIES[name]), 5, batch_size=4, epoch=0), strict=True)
    assert [len(part.labels) for part in steps[0]] == [0, 1, 1, 1, 1]
    assert [len(part.labels) for part in steps[-1]] == [0, 1, 0, 1, 1]
    assert all(len(parts[0].inputs) == 0 for parts in steps)
    for part in (steps[0][0], steps[-1][2]):
        assert part.inputs.shape == (0, 3, 6, 6)
        assert part.inputs.dtype == torch.float32
        assert part.labels.shape == (0,)
        assert part.weight is None or part.weight.shape == part.partner_labels.shape == (0,)


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 60))
def test_shares_of_any_range_are_contiguous_complete_and_even(first, size, world):
    parts = [share(first, first + size, rank, world) for rank in range(world)]
    assert [place for part in parts for place in range(*part)] == list(range(first, first + size))
    sizes = [last - start for start, last in parts]
    assert max(sizes) - min(sizes) <= 1


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 9), st.integers(0, 9))
def test_the_order_is_a_permutation_closed_to_a_ring(count, seed, epoch):
    order = ordered(count, seed=seed, epoch=epoch)
    assert torch.equal(order[:-1].sort().values, torch.arange(count))
    assert order[-1] == order[0]
