"""Coded files: exact, canonical, accounted for to the byte, and small on a network that was really pruned."""

import time
import zlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from espalier.coding import container, levels_file
from espalier.coding.anatomy import anatomy, by_purpose
from espalier.coding.decoder import decode, open_parts, read
from espalier.coding.encoder import encode
from espalier.coding.entropy import bound_bytes
from espalier.coding.ladder import ladder
from espalier.coding.xz import compress
from espalier.errors import ArtifactError
from espalier.quantization.qparams import QParams, Quantized
from espalier.quantization.weights import nearest
from support.coded_networks import RECORD, network, published, quantized, same, sparse, taken_apart


def test_a_network_comes_back_bit_for_bit(tmp_path):
    tensors = network()
    encode(tensors, RECORD, tmp_path / "a.esp")
    found = decode(tmp_path / "a.esp")
    assert list(found.tensors) == list(tensors)
    assert all(same(found.tensors[name], tensors[name]) for name in tensors)
    assert found.record == RECORD
    found.tensors["a.bias"].add_(1)


def test_equal_contents_give_equal_bytes(tmp_path):
    tensors = network()
    encode(tensors, RECORD, tmp_path / "a.esp")
    encode(decode(tmp_path / "a.esp").tensors, dict(reversed(RECORD.items())), tmp_path / "b.esp")
    assert (tmp_path / "a.esp").read_bytes() == (tmp_path / "b.esp").read_bytes()


def test_a_file_may_be_empty(tmp_path):
    encode({}, {}, tmp_path / "a.esp")
    assert decode(tmp_path / "a.esp") == ({}, {})


def test_tensors_without_elements_may_be_all_of_their_kind(tmp_path):
    tensors = {"a": quantized(np.zeros((0, 4, 3), np.int32), axis=0), "b": torch.zeros(2, 0, dtype=torch.int16)}
    encode(tensors, {}, tmp_path / "a.esp")
    found = decode(tmp_path / "a.esp").tensors
    assert all(same(found[name], tensors[name]) for name in tensors)


def test_a_level_alone_is_an_array_without_torch(tmp_path):
    scalar = Quantized(torch.tensor(5, dtype=torch.int32), QParams(torch.tensor(0.5), torch.tensor(2).int(), 0, 15))
    encode({"a": scalar}, {}, tmp_path / "a.esp")
    found = read(tmp_path / "a.esp").tensors["a"]
    assert isinstance(found.levels, np.ndarray)
    assert (found.levels.shape, found.levels, found.dequantize()) == ((), 5, 1.5)
    assert same(decode(tmp_path / "a.esp").tensors["a"], scalar)


def test_layouts_in_memory_make_no_difference(tmp_path):
    tensor = torch.randn(4, 3, 5, 5)
    layouts = {"a": tensor.contiguous(memory_format=torch.channels_last), "b": tensor.permute(3, 2, 1, 0)}
    encode(layouts, {}, tmp_path / "a.esp")
    found = decode(tmp_path / "a.esp").tensors
    assert torch.equal(found["a"], tensor)
    assert torch.equal(found["b"], layouts["b"])


def test_parts_sum_to_the_size_of_the_file(tmp_path):
    encode(network(), RECORD, tmp_path / "a.esp")
    parts = anatomy(open_parts(tmp_path / "a.esp"))
    assert sum(part.bytes for part in parts) == (tmp_path / "a.esp").stat().st_size
    assert all(part.bytes >= 0 for part in parts)
    purposes = by_purpose(parts)
    assert purposes["header"] == container.HEADER_BYTES == 45
    assert purposes.keys() == {
        *("weights", "indices", "scales", "zero points", "other parameters", "checksums", "metadata", "header")
    }


def test_indices_and_weights_are_told_apart(tmp_path):
    levels = sparse((300, 200), 8, 0.05, "parts")
    encode({"a": quantized(levels)}, {}, tmp_path / "a.esp")
    sizes = by_purpose(anatomy(open_parts(tmp_path / "a.esp")))
    nonzeros = (levels != 0).sum()
    assert sizes["weights"] == pytest.approx(nonzeros * 7.4 / 8, rel=0.1)
    assert sizes["indices"] < bound_bytes(levels) - sizes["weights"]


@pytest.mark.parametrize(
    ("name", "tensor", "said"),
    [
        ("a/b", torch.zeros(1), "no tensor can be named 'a/b'"),
        ("..", torch.zeros(1), "no tensor can be named"),
        ("a", torch.zeros(1, dtype=torch.complex64), "a: a coded model cannot hold torch.complex64"),
        ("a", quantized(sparse((3, 3), 8, 1.0, 0), 4), "levels or zero points are not whole numbers from -7 to 7"),
    ],
)
def test_what_the_format_does_not_hold_is_refused(tmp_path, name, tensor, said):
    with pytest.raises(ValueError, match=said):
        encode({name: tensor}, {}, tmp_path / "a.esp")
    assert not list(tmp_path.iterdir())


def test_the_ladder_of_sizes():
    levels = sparse((300, 200), 8, 0.05, "ladder")
    rungs = {rung.method: rung for rung in ladder({"a": quantized(levels), "a.bias": torch.zeros(300)})}
    nonzeros = (levels != 0).sum()
    assert rungs["dense fp32"][1:] == (levels.size * 4, 1200)
    assert rungs["theoretical: non-zeros, 16-bit indices"][1:] == (nonzeros * 3, 1200)
    assert rungs["order-0 entropy"].levels == pytest.approx(bound_bytes(levels))
    assert rungs["espalier"].levels == min(rung.levels for rung in rungs.values() if "entropy" not in rung.method)


def test_sizes_of_published_methods():
    # Every fourth level is a value: one distance, of a bit, and four values, of two bits each.
    levels = np.zeros((64, 128), np.int32)
    levels.reshape(-1)[3::4] = np.resize([1, 2, 3, 300], 2048)
    rungs = {rung.method: rung.levels for rung in ladder({"a": quantized(levels, 10)})}
    tables = np.zeros(256, np.uint8), np.zeros(301, np.uint8)
    tables[0][3], tables[1][[1, 2, 3, 300]] = 1, 2
    packed = sum(12 + len(zlib.compress(each.tobytes(), 9)) for each in tables)
    assert rungs["relative index + Huffman"] == packed + (2048 + 2 * 2048) // 8
    low = bytes([1, 2, 3, 300 % 256]) * 512
    high = bytes([0, 0, 0, 1]) * 512
    assert rungs["bitmap + xz"] == len(compress(b"\x11" * 1024 + low + high))


@pytest.mark.parametrize("shape", [(0, 4), (3, 4)])
def test_nothing_but_zeros_has_a_ladder(shape):
    rungs = {rung.method: rung.levels for rung in ladder({"a": quantized(np.zeros(shape, np.int32))})}
    assert rungs["espalier"] == rungs["order-0 entropy"] == 0
    assert rungs["relative index + Huffman"] == 24 + len(zlib.compress(bytes(256), 9)) + len(zlib.compress(b"\0", 9))


def test_a_published_network_is_smaller_than_its_entropy(tmp_path):
    tensors = published()
    rungs = {rung.method: rung.levels for rung in ladder(tensors)}
    # The published measurements of the same levels.
    assert rungs["zlib -9"] == pytest.approx(173_246, rel=0.01)
    assert rungs["xz -9e"] == pytest.approx(139_328, rel=0.01)
    assert rungs["COO, torch file"] == pytest.approx(677_767, rel=0.01)
    assert rungs["bitmap + xz"] == pytest.approx(137_214, rel=0.01)
    assert rungs["relative index + Huffman"] == 135_032
    assert rungs["order-0 entropy"] == pytest.approx(137_930, abs=2)
    assert rungs["espalier"] <= 110_000
    encode(tensors, RECORD, tmp_path / "a.esp")
    assert (tmp_path / "a.esp").stat().st_size <= 0.262 * 2**20
    found = decode(tmp_path / "a.esp").tensors
    assert all(same(found[name], tensors[name]) for name in tensors)


def test_a_published_network_at_4_bits():
    tensors = {
        name: nearest(one.dequantize(), 4, "tensor") for name, one in published().items() if isinstance(one, Quantized)
    }
    assert {rung.method: rung.levels for rung in ladder(tensors)}["espalier"] <= 61_200


@pytest.mark.slow
def test_coding_a_published_network_is_quick(tmp_path):
    tensors, seconds = published(), []
    for _ in range(2):
        start = time.process_time()
        encode(tensors, RECORD, tmp_path / "a.esp")
        middle = time.process_time()
        decode(tmp_path / "a.esp")
        seconds.append((middle - start, time.process_time() - middle))
    # Goals of 1.5 and 1 s, with room for a machine that others use as well.
    assert min(one for one, _ in seconds) < 4
    assert min(two for _, two in seconds) < 3
    assert taken_apart(tmp_path / "a.esp")[0]["record"] == RECORD


@pytest.mark.parametrize(
    "found", [{"a.int8": [1]}, {"a.int8": [-128], "a.scale": [1.0]}, {"a.int8": [1], "a.scale": [1.0, 2.0]}]
)
def test_levels_without_a_scale_are_refused(tmp_path, found):
    save_file(
        {name: torch.tensor(one, dtype=torch.int8 if name == "a.int8" else None) for name, one in found.items()},
        tmp_path / "a.safetensors",
    )
    with pytest.raises(ArtifactError, match=r"a\.int8 needs one a\.scale and levels of -127 to 127"):
        levels_file.read(tmp_path / "a.safetensors")


def test_levels_are_read_beside_what_is_no_level(tmp_path):
    tensors = {"a.int8": torch.tensor([3], dtype=torch.int8), "a.scale": torch.tensor(0.5), "b.scale": torch.ones(2)}
    save_file(tensors, tmp_path / "a.safetensors")
    found = levels_file.read(tmp_path / "a.safetensors")
    assert found.keys() == {"a", "b.scale"}
    assert found["a"].dequantize().tolist() == [1.5]
