import hashlib
import json
import math
from collections import Counter, OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from espalier.errors import CheckpointError, Damaged
from espalier.runs.checkpoint import Checkpoints, digest, pack, read, unpack, write

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


def test_tensors_of_a_tree_are_labelled_by_their_place():
    image, tensors = torch.zeros(2, 3, 4, 5).contiguous(memory_format=torch.channels_last), {}
    tree = pack({"a": [image, (None, torch.ones(2))], 3: torch.ones(1, 2, 1, 2)}, tensors, "state")
    labels = ("0:state/a/0", "1:state/a/1/1", "2:state/3")
    first, second, third = ({"tensor": label, "channels_last": label == labels[0]} for label in labels)
    assert tree == {"dict": [["a", {"list": [first, {"tuple": [None, second]}]}], [3, third]]}
    assert tuple(tensors) == labels and all(tensor.is_contiguous() for tensor in tensors.values())


def test_what_is_packed_is_a_copy():
    weights, tensors = torch.nn.Parameter(torch.ones(2)), {}
    pack(weights, tensors)
    with torch.no_grad():
        weights.zero_()
    assert tensors["0:"].tolist() == [1, 1] and not tensors["0:"].requires_grad


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
    with pytest.raises(TypeError, match=rf"^state/here: a checkpoint cannot hold a {type(value).__name__}$"):
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
    assert {path.name for path in saved.folder.iterdir()} == {"latest.damaged", "previous.safetensors"}
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
    why = "is damaged (its checksum is wrong) and is passed over"
    assert caplog.messages == [
        f"{saved.latest} {why}",
        f"{saved.previous} {why}",
        f"{saved.folder} holds no sound checkpoint: training starts anew from epoch 1",
    ]


def test_no_checkpoint_is_a_quiet_fresh_start(tmp_path, caplog):
    assert Checkpoints(tmp_path / "none", {}).load() is None
    assert not caplog.text


def test_another_runs_checkpoint_is_refused_with_the_difference(saved):
    other = Checkpoints(saved.folder, {"train.epochs": 8, "data": "abc", "seed": 3})
    with pytest.raises(CheckpointError) as error:
        other.load()
    differences = "seed is 'the default' there and 3 here, train.epochs is 6 there and 8 here"
    assert str(error.value) == (
        f"{saved.latest} belongs to another run: {differences}. "
        f"Remove {saved.folder} to start anew, or train into another folder"
    )


def test_a_failed_save_leaves_the_old_ones(saved):
    with pytest.raises(TypeError):
        saved.save({"x": object()})
    assert saved.load()["epoch"] == 2


def test_a_state_goes_on_with_the_threads_that_it_was_saved_with(tmp_path, caplog):
    caplog.set_level("INFO", "espalier")
    before = torch.get_num_threads()
    checkpoints = Checkpoints(tmp_path, {"seed": 1})
    try:
        torch.set_num_threads(1)
        checkpoints.save({"epoch": 2})
        torch.set_num_threads(2)
        assert checkpoints.load() == {"epoch": 2}
        assert torch.get_num_threads() == 1
        assert caplog.messages == ["goes on with 1 thread, as it was begun: others would give other bits"]
        assert checkpoints.load() == {"epoch": 2} and len(caplog.messages) == 1
    finally:
        torch.set_num_threads(before)


def test_a_digest_is_of_a_text_and_of_tensors_with_names_types_and_shapes():
    tensors = {"b": torch.ones(2, 3, dtype=torch.bool), "a": torch.tensor([1.0, -2.5])}
    sha256 = hashlib.sha256(b"a text")
    sha256.update(b"a torch.float32 (2,)" + tensors["a"].numpy().tobytes())
    sha256.update(b"b torch.bool (2, 3)" + tensors["b"].numpy().tobytes())
    assert digest("a text", tensors) == sha256.hexdigest()


def test_a_file_has_its_tree_behind_its_digest(tmp_path):
    write(tmp_path / "x.safetensors", {"n": 1, "t": torch.ones(1)})
    text = '{"dict": [["n", 1], ["t", {"tensor": "0:/t", "channels_last": false}]]}'
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert file.metadata() == {"tree": f"{digest(text, {'0:/t': torch.ones(1)})} {text}"}
        assert [*file.keys()] == ["0:/t"]


def test_a_file_that_is_gone_or_no_checkpoint_is_damaged(tmp_path):
    with pytest.raises(Damaged, match="No such file"):
        read(tmp_path / "none.safetensors")
    for metadata in (None, {"format": "pt"}):
        save_file({"a": torch.ones(1)}, tmp_path / "x.safetensors", metadata)
        with pytest.raises(Damaged, match=r"^'tree'$"):
            read(tmp_path / "x.safetensors")


def test_without_a_place_to_keep_it_what_stood_there_is_gone(tmp_path):
    for value in (1, 2):
        write(tmp_path / "x.safetensors", value)
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"] and read(tmp_path / "x.safetensors") == 2


def test_of_several_processes_the_main_one_saves(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    Checkpoints(tmp_path, {}).save({"epoch": 1})
    assert not [*tmp_path.iterdir()]


def test_a_checkpoint_says_whose_it_is(saved):
    found = read(saved.latest)
    assert [*found] == ["identity", "threads", "state"]
    assert (found["identity"], found["threads"]) == (saved.identity, torch.get_num_threads())


def test_a_part_of_a_run_has_its_own_checkpoints(saved):
    part = saved.within("price")
    assert part.load() is None
    part.save(state(9))
    assert (part.folder, part.identity) == (saved.folder / "price", saved.identity)
    assert (part.load()["epoch"], saved.load()["epoch"]) == (9, 2)


def test_a_run_begins_with_what_another_has_saved(saved, tmp_path):
    longer = Checkpoints(tmp_path / "longer", {"train.epochs": 9})
    found = read(saved.latest)
    longer.begin(found)
    assert longer.load()["epoch"] == 2
    assert read(longer.latest)["identity"] == {"train.epochs": 9}
    assert read(longer.latest)["threads"] == found["threads"]
