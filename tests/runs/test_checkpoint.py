import json
import math
from collections import Counter, OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espalier.errors import CheckpointError, Damaged
from espalier.runs.checkpoint import Checkpoints, pack, read, unpack, write

KEYS = st.one_of(st.integers(), st.text(max_size=5), st.tuples(st.integers(), st.integers()))
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner, inner), st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=10,
)


def through(value):
    tensors = {}
    return unpack(json.loads(json.dumps(pack(value, tensors))), tensors)


def alike(one, other):
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return one == other


@settings(deadline=None)
@given(PLAIN)
def test_plain_data_comes_back_the_same(value):
    assert alike(through(value), value)


def test_numbers_are_exact():
    for number in (0.1 + 0.2, 1e-320, math.pi, math.inf, -math.inf, 2**70):
        assert through({"x": number})["x"] == number
    assert math.isnan(through(math.nan))


def test_a_counter_stays_one():
    assert through(Counter({30: 2, 60: 1})) == Counter({30: 2, 60: 1})
    assert isinstance(through(Counter()), Counter)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4, 5)])
def test_tensors_come_back_bit_by_bit(dtype, shape, tmp_path):
    tensor = (torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 9).to(dtype)
    write(tmp_path / "x.safetensors", {(0, 1): [tensor]})
    found = read(tmp_path / "x.safetensors")[(0, 1)][0]
    assert found.dtype == dtype
    assert torch.equal(found, tensor)


def test_memory_order_and_shared_memory_survive(tmp_path):
    image = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    flat = torch.arange(6.0)
    write(tmp_path / "x.safetensors", {"image": image, "transposed": flat.view(2, 3).T, "flat": flat, "again": flat})
    found = read(tmp_path / "x.safetensors")
    assert found["image"].stride() == image.stride()
    assert torch.equal(found["image"], image)
    assert torch.equal(found["transposed"], flat.view(2, 3).T)
    assert torch.equal(found["again"], found["flat"])


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes", 1j])
def test_what_is_neither_tensor_nor_plain_is_refused(value):
    with pytest.raises(TypeError, match=r"state/here: a checkpoint cannot hold a "):
        pack({"here": value}, {}, "state")


def test_an_ordered_dict_is_a_dict():
    assert through(OrderedDict(b=1, a=2)) == {"b": 1, "a": 2}


def state(epoch):
    return {"epoch": epoch, "weights": torch.full((64,), float(epoch))}


@pytest.fixture
def saved(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoint", {"train.epochs": 6, "data": "abc"})
    checkpoints.save(state(1))
    checkpoints.save(state(2))
    return checkpoints


def test_the_newest_is_loaded(saved):
    assert saved.load()["epoch"] == 2
    assert sorted(path.name for path in saved.folder.iterdir()) == ["latest.safetensors", "previous.safetensors"]


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_every_changed_bit_is_noticed(saved):
    """One bit in each byte of the file in turn, header, tree and tensors; what is read is never something else."""
    whole = saved.latest.read_bytes()
    size = len(whole)
    for position in [*range(0, size, 7), size - 1]:
        flip(saved.latest, position)
        try:
            found = read(saved.latest)
        except Damaged:
            pass
        else:  # a space of the header's padding
            assert found["state"]["epoch"] == 2
            assert whole[position : position + 1] in b" \t\n"
        saved.latest.write_bytes(whole)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_cut_file_is_passed_over_for_the_previous_one(saved, keep, caplog):
    saved.latest.write_bytes(saved.latest.read_bytes()[:keep])
    assert saved.load()["epoch"] == 1
    assert "latest.safetensors is damaged" in caplog.text
    # The sound one is still there after the next save.
    saved.save(state(3))
    flip(saved.latest, -1)
    assert saved.load()["epoch"] == 1


def test_a_crash_between_the_renames_leaves_the_previous_one(saved):
    saved.latest.unlink()
    assert saved.load()["epoch"] == 1


def test_nothing_sound_means_a_loud_fresh_start(saved, caplog):
    for path in saved.folder.iterdir():
        flip(path, -1)
    assert saved.load() is None
    assert "starts anew from epoch 1" in caplog.text


def test_no_checkpoint_is_a_quiet_fresh_start(tmp_path, caplog):
    assert Checkpoints(tmp_path / "none", {}).load() is None
    assert not caplog.text


def test_another_runs_checkpoint_is_refused_with_the_difference(saved):
    other = Checkpoints(saved.folder, {"train.epochs": 8, "data": "abc", "seed": 3})
    with pytest.raises(
        CheckpointError, match=r"seed is 'the default' there and 3 here, train\.epochs is 6 there and 8"
    ):
        other.load()


def test_a_failed_save_leaves_the_old_ones(saved):
    with pytest.raises(TypeError):
        saved.save({"x": object()})
    assert saved.load()["epoch"] == 2


def test_a_state_goes_on_with_the_threads_that_it_was_saved_with(tmp_path):
    before = torch.get_num_threads()
    checkpoints = Checkpoints(tmp_path, {"seed": 1})
    try:
        torch.set_num_threads(1)
        checkpoints.save({"epoch": 2})
        torch.set_num_threads(2)
        assert checkpoints.load() == {"epoch": 2}
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
