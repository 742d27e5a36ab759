"""Streams of words and the levels of others' files, read again by hand."""

import struct
import zlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from espalier.coding import byte_planes, levels_file, plain_tensors
from espalier.coding.plain_tensors import Item
from espalier.errors import ArtifactError, Damaged
from espalier.seeding import key


def same_words(raw, tensor):
    expected = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return (raw.shape, raw.words.tobytes()) == (tuple(tensor.shape), expected)


def test_the_checksum_is_that_of_shapes_and_then_of_big_endian_words():
    tensors = [torch.tensor([[1, -2, 300], [0, 5, -6]], dtype=torch.int16), torch.tensor(7, dtype=torch.int16)]
    items = [Item("a", (2, 3)), Item("b", ())]
    data = struct.pack("<qq", 2, 3) + struct.pack(">7h", 1, -2, 300, 0, 5, -6, 7)
    codec, stream, crc = plain_tensors.encode("int16", items, tensors)
    found, again = plain_tensors.decode("int16", codec, stream, items)
    assert crc == again == zlib.crc32(data)
    assert all(map(same_words, found, tensors))
    # Of a float the sign is the last bit: -1.5 is 0xBFC00000.
    data = struct.pack("<q", 2) + struct.pack(">II", 0x7F800001, 0)
    assert plain_tensors.encode("float32", [Item("a", (2,))], [torch.tensor([-1.5, 0.0])])[2] == zlib.crc32(data)


def test_the_words_of_a_tensor_are_those_of_its_order_and_not_of_its_memory():
    tensor = torch.arange(6).reshape(2, 3)
    assert plain_tensors.bits(tensor.T).tolist() == [0, 3, 1, 4, 2, 5]
    assert plain_tensors.bits(torch.tensor([1.0, -2.0], dtype=torch.bfloat16)).tolist() == [0x3F80, 0xC000]


def test_the_shorter_codec_is_taken():
    draw = np.random.default_rng(key("codecs of words"))
    normal = torch.from_numpy(draw.normal(size=4000).astype(np.float32))
    for tensor, best in ((normal[:4].repeat(1000), "xz"), (normal, "range")):
        words = byte_planes.words(plain_tensors.bits(tensor), True)
        sizes = {"xz": len(byte_planes.encode_xz(words)), "range": len(byte_planes.encode_range(words, [4000], [0]))}
        codec, stream, _ = plain_tensors.encode("float32", [Item("a", (4000,))], [tensor])
        assert (codec, len(stream)) == (best, min(sizes.values()))


def test_tensors_of_one_part_of_a_layer_share_their_models():
    parts = ["a.b.weight", "a.bias", "weight", "bias", *(f"{part}.{part}" for part in "cdefghijklmnopqrst"), "t"]
    kinds = [0, 1, 0, 1, *range(2, 16), 15, 15, 15, 15, 15]
    draw = np.random.default_rng(key("parts"))
    tensors = [torch.from_numpy(draw.normal(0, 4.0**kind, 9).astype(np.float32)) for kind in kinds]
    words = byte_planes.words(np.concatenate([plain_tensors.bits(one) for one in tensors]), True)
    stream = byte_planes.encode_range(words, [9] * len(parts), kinds)
    items = [Item(part, (3, 3)) for part in parts]
    found, crc = plain_tensors.decode("float32", "range", stream, items)
    assert all(same_words(raw, one.reshape(3, 3)) for raw, one in zip(found, tensors, strict=True))
    assert plain_tensors.encode("float32", items, tensors) == ("range", stream, crc)


@pytest.mark.parametrize("number", [2, 255])
def test_a_truth_value_is_0_or_1(number):
    stream = byte_planes.encode_xz(np.array([[0], [1], [number]], np.uint8))
    with pytest.raises(Damaged, match=r"^a truth value is neither 0 nor 1$"):
        plain_tensors.decode("bool", "xz", stream, [Item("a", (3,))])
    (found,), _ = plain_tensors.decode("uint8", "xz", stream, [Item("a", (3,))])
    assert found.values().tolist() == [0, 1, number]


def test_levels_of_others_are_read_with_their_scale(tmp_path):
    path = tmp_path / "a.safetensors"
    tensors = {
        "a.b.int8": torch.tensor([[-127, 127]], dtype=torch.int8),
        "a.b.scale": torch.tensor([0.5], dtype=torch.float16),
        "none.int8": torch.zeros(0, dtype=torch.int8),
        "none.scale": torch.tensor(2.0),
        "a.b.bias": torch.tensor([1.5]),
    }
    save_file(tensors, path)
    found = levels_file.read(path)
    assert found.keys() == {"a.b", "none", "a.b.bias"}
    assert torch.equal(found["a.b.bias"], torch.tensor([1.5]))
    levels, (scale, zero_point, lowest, highest) = found["a.b"]
    assert (levels.dtype, levels.tolist()) == (torch.int32, [[-127, 127]])
    assert (scale.dtype, scale.shape, scale.item()) == (torch.float32, (), 0.5)
    assert (zero_point.dtype, zero_point.shape, zero_point.item()) == (torch.int32, (), 0)
    assert (lowest, highest) == (-127, 127)
    assert found["none"].levels.shape == (0,)


def test_a_file_of_others_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match=rf"^{path}: it cannot be read \(.+\)\. Copy it from its source again$"):
        levels_file.read(path)
