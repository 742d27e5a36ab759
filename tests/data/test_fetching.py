import logging
import threading

import pytest
import torch

from espalier.data import fetching, resident
from espalier.data.fetching import fetched, fits
from espalier.data.prepared import Prepared, write
from espalier.data.resident import Resident
from support.data_samples import made, policy

CPU = torch.device("cpu")
GIB = 2**30
CUTS = ("pad_crop", "horizontal_flip", "cutout")


@pytest.fixture
def both(tmp_path):
    """The same data on the device and fetched."""
    write(tmp_path / "made.safetensors", made(), {})
    prepared = Prepared.read(tmp_path / "made.safetensors")
    return [Resident(prepared, on_device=where) for where in (True, False)]


@pytest.mark.parametrize("augment", [(), CUTS, (*CUTS, "mixup"), (*CUTS, "cutmix")])
@pytest.mark.parametrize("chunk", [1, 3000, 1 << 20])
@pytest.mark.parametrize(("rank", "world"), [(0, 1), (1, 3)])
def test_fetched_batches_are_those_on_the_device_bit_for_bit(augment, chunk, rank, world, both, monkeypatch):
    monkeypatch.setitem(resident._CHUNK, "cpu", chunk)
    arguments = {"epoch": 1, "seed": 5, "batch_size": 4, "first_step": 1, "rank": rank, "world": world}
    here, there = (list(data.train_batches(policy(*augment), **arguments)) for data in both)
    assert len(here) == len(there) == 5
    for one, other in zip(here, there, strict=True):
        assert one.global_size == other.global_size
        for field in ("inputs", "labels", "partner_labels", "weight"):
            values = getattr(one, field), getattr(other, field)
            assert values == (None, None) or torch.equal(*values)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_fetched_splits_are_those_on_the_device(batch_size, both):
    here, there = (list(data.batches("validation", batch_size)) for data in both)
    for (inputs, labels), (others, other_labels) in zip(here, there, strict=True):
        assert torch.equal(inputs, others)
        assert torch.equal(labels, other_labels)
    assert sum(len(labels) for _, labels in there) == 5


def test_one_chunk_is_fetched_ahead_and_no_more():
    asked = []

    def chunks():
        for number in range(5):
            asked.append(number)
            yield torch.tensor([number])

    images = torch.arange(5, dtype=torch.uint8).view(5, 1)
    for number, rows in enumerate(fetched(images, chunks(), CPU)):
        assert rows.tolist() == [[number]]
        assert asked == list(range(min(number + 2, 5)))


def test_images_are_fetched_by_another_thread(monkeypatch):
    right, threads = torch.index_select, set()

    def watched(*args, **kwargs):
        threads.add(threading.current_thread())
        return right(*args, **kwargs)

    monkeypatch.setattr(torch, "index_select", watched)
    list(fetched(torch.zeros(4, 2, dtype=torch.uint8), torch.arange(4).split(2), CPU))
    assert threads
    assert threading.current_thread() not in threads


def test_what_is_not_used_to_its_end_leaves_no_thread_behind():
    before = threading.active_count()
    rows = fetched(torch.zeros(9, 2, dtype=torch.uint8), torch.arange(9).split(2), CPU)
    next(rows)
    assert threading.active_count() == before + 1
    rows.close()
    assert threading.active_count() == before


def test_no_chunks_and_empty_chunks():
    images = torch.zeros(3, 4, 5, dtype=torch.uint8)
    assert list(fetched(images, [], CPU)) == []
    assert [rows.shape for rows in fetched(images, [torch.arange(0)], CPU)] == [(0, 4, 5)]


def test_a_failed_fetch_is_an_error_where_it_is_used():
    rows = fetched(torch.zeros(3, 1, dtype=torch.uint8), [torch.tensor([0]), torch.tensor([7])], CPU)
    next(rows)
    with pytest.raises(IndexError):
        next(rows)


@pytest.mark.parametrize(("size", "free", "fit"), [(4, 8, True), (4.1, 8, False), (4, 0, False)])
def test_images_may_take_their_share_of_free_memory(size, free, fit, monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free * GIB), 80 * GIB))
    with caplog.at_level(logging.INFO, "espalier"):
        assert fits(int(size * GIB), torch.device("cuda", 1)) is fit
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == (not fit)
    assert fetching.SHARE == 0.5
    for text in messages:
        assert f"{size:.2f} GiB" in text
        assert f"{free:.2f} GiB free on cuda:1" in text
        assert f"may have {free / 2:.2f}" in text


def test_a_cpu_has_room_for_what_is_mapped(monkeypatch):
    monkeypatch.delattr(torch.cuda, "mem_get_info")
    assert fits(1 << 60, CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("augment", [CUTS, (*CUTS, "mixup")])
def test_fetched_batches_are_those_on_a_gpu(augment, tmp_path, monkeypatch):
    monkeypatch.setitem(resident._CHUNK, "cuda", 64 << 10)
    write(tmp_path / "made.safetensors", made(train=3000, size=16), {})
    prepared = Prepared.read(tmp_path / "made.safetensors")
    here, there = (Resident(prepared, "cuda", on_device=where) for where in (True, False))
    assert not there._images["train"].is_cuda
    arguments = {"epoch": 1, "seed": 5, "batch_size": 32}
    for one, other in zip(*(data.train_batches(policy(*augment), **arguments) for data in (here, there)), strict=True):
        assert other.inputs.is_cuda
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.labels, other.labels)
