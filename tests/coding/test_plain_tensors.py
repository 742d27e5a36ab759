"""Tensors kept as they are: streams of words read again as the page on the format says, and values without torch."""

import struct
import zlib

import numpy as np
import pytest
import torch

from espalier.coding import byte_planes, plain_tensors
from espalier.coding.plain_tensors import Item
from espalier.coding.raw_tensors import KINDS, Raw, RawLevels
from espalier.errors import Damaged
from espalier.seeding import key

DTYPES = [
    *(torch.float32, torch.float16, torch.bfloat16, torch.float64),
    *(torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool),
]


class RangeDecoder:
    """The range coder of docs/esp-format.md in numbers of Python."""

    def __init__(self, stream: bytes) -> None:
        self.words = [*struct.unpack(f"<{len(stream) // 4}I", stream), 0, 0]
        self.lower, self.range, self.next = 0, 2**64 - 1, 2
        self.point = self.words[0] << 32 | self.words[1]

    def choice(self, weights: np.ndarray) -> int:
        scale = (2**24 - len(weights)) / float(weights.sum())
        sums = np.concatenate([[0], np.cumsum(weights)[:-1]])
        lefts = np.floor(sums * scale).astype(np.int64) + np.arange(len(weights))
        unit = self.range // 2**24
        symbol = int(np.searchsorted(lefts, (self.point - self.lower) % 2**64 // unit, "right")) - 1
        left, right = int(lefts[symbol]), int(lefts[symbol + 1]) if symbol + 1 < len(lefts) else 2**24
        self.lower, self.range = (self.lower + unit * left) % 2**64, unit * (right - left)
        if self.range < 2**32:
            self.lower, self.range = self.lower * 2**32 % 2**64, self.range * 2**32
            self.point = self.point * 2**32 % 2**64 | (self.words[self.next] if self.next < len(self.words) else 0)
            self.next += 1
        return symbol


def blocks(total: int):
    start = 0
    while start < total:
        size = min(max(64, min(start // 8, total // 64)), 65536)
        yield range(start, min(start + size, total))
        start += size


def words_of(stream: bytes, lengths: list[int], parts: list[int], size: int) -> np.ndarray:
    """The words of a range coded stream, as the page on the format says."""
    coder, found, earlier = RangeDecoder(stream), [], {}
    counts = {(part, byte): np.zeros((2 if byte else 17, 256), np.int64) for part in set(parts) for byte in range(size)}
    for length, part in zip(lengths, parts, strict=True):
        words = np.zeros((length, size), np.uint8)
        for block in blocks(length):
            for byte in range(size):
                worth, pooled = (1024, 64) if byte else (16, 16)
                own = counts[part, byte]
                together = (own.sum(0) << 20) + ((1 << 20) * worth // 256 + 1)
                weights = (own << 10) + together // 1024 * (pooled << 10) // (together.sum() // 1024) + 1
                if byte:
                    contexts = [int(words[place, 0] == 0) for place in block]
                else:
                    contexts = [1 + int(earlier[length][place]) // 16 if length in earlier else 0 for place in block]
                for context in sorted(set(contexts)):
                    for place, one in zip(block, contexts, strict=True):
                        if one == context:
                            words[place, byte] = coder.choice(weights[context])
                for place, context in zip(block, contexts, strict=True):
                    own[context, words[place, byte]] += 1
        earlier[length] = words[:, 0]
        found.append(words)
    return np.concatenate(found)


def coded(tensors: dict[str, torch.Tensor], kind: str):
    items = [Item(name, tuple(one.shape)) for name, one in tensors.items()]
    return items, *plain_tensors.encode(kind, items, list(tensors.values()))


def planes(tensors) -> np.ndarray:
    """Words of float32 tensors, rotated by one bit, most significant byte first."""
    bits = [int(word) for one in tensors for word in one.reshape(-1).numpy().view("<u4")]
    return np.array([[*struct.pack(">I", (word << 1 | word >> 31) & 0xFFFFFFFF)] for word in bits], np.uint8)


def test_range_coded_words_are_those_of_the_format():
    draw = np.random.default_rng(key("words of the format"))
    # Magnitudes from 2^-149 to 2^20 beside each other, so that first bytes have many contexts, and some are 0.
    first = np.exp2(draw.integers(-149, 20, 150)) * draw.choice([-1, 1], 150)
    tensors = {
        "a.weight": first, "a.bias": first * 2, "b.weight": draw.normal(size=30), "b.bias": first / 4,
    }  # fmt: skip
    tensors = {name: torch.tensor(one, dtype=torch.float32) for name, one in tensors.items()}
    split = planes(tensors.values())
    assert (split[:, 0] == 0).any() and len(set(split[:, 0] >> 4)) > 8
    bits = np.concatenate([one.numpy().view("<u4") for one in tensors.values()])
    np.testing.assert_array_equal(byte_planes.words(bits, True), split)
    lengths, parts = [150, 150, 30, 150], [0, 1, 0, 1]
    stream = byte_planes.encode_range(split, lengths, parts)
    np.testing.assert_array_equal(words_of(stream, lengths, parts, 4), split)


def test_parts_of_layers_have_models_of_their_own_and_those_from_the_sixteenth_on_share_one():
    draw = np.random.default_rng(key("parts"))
    names = [f"net.{layer}.part{part}" for layer in range(4) for part in range(18)] + ["part3", "no.dot.part18"]
    tensors = {
        name: torch.tensor(draw.normal(size=8) * 2.0 ** -(5 * int(name.split("part")[1])), dtype=torch.float32)
        for name in names
    }
    _, codec, stream, _ = coded(tensors, "float32")
    parts = [min(int(name.split("part")[-1]), 15) for name in names]
    assert codec == "range"
    assert stream == byte_planes.encode_range(planes(tensors.values()), [8] * len(names), parts)


def test_the_shorter_of_both_codecs_is_taken():
    noise = torch.randn(2000, generator=torch.Generator().manual_seed(0)).half().float()
    repeated = noise[:50].repeat(20)
    for tensor, codec in ((noise, "range"), (repeated, "xz")):
        items, found, stream, crc = coded({"a": tensor}, "float32")
        split = planes([tensor])
        streams = {"xz": byte_planes.encode_xz(split), "range": byte_planes.encode_range(split, [len(split)], [0])}
        assert found == codec == min(streams, key=lambda name: len(streams[name]))
        assert stream == streams[codec]
        (back,), again = plain_tensors.decode("float32", codec, stream, items)
        assert again == crc
        np.testing.assert_array_equal(back.values(), tensor.numpy())


def test_the_checksum_is_of_all_shapes_and_then_of_the_words():
    tensors = {"a": torch.randn(2, 3), "b": torch.randn(()), "c": torch.zeros(0, 5)}
    items, codec, stream, crc = coded(tensors, "float32")
    shapes = struct.pack("<4q", 2, 3, 0, 5)
    assert crc == zlib.crc32(shapes + planes(tensors.values()).tobytes())
    found, again = plain_tensors.decode("float32", codec, stream, items)
    assert again == crc
    assert [one.shape for one in found] == [(2, 3), (), (0, 5)]
    other = [Item("a", (3, 2)), *items[1:]]
    assert plain_tensors.decode("float32", codec, stream, other)[1] != crc


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type_comes_back_and_has_its_values_without_torch(dtype):
    kind = str(dtype).removeprefix("torch.")
    numbers = torch.tensor([[0, 1, 1], [0, 1, 0]]) if dtype == torch.bool else torch.tensor([[0, 1, 100], [7, 3, 2]])
    tensor = numbers.to(dtype)
    assert KINDS[kind] == (kind, tensor.element_size(), tensor.is_floating_point())
    items, codec, stream, _ = coded({"a": tensor}, kind)
    ((name, shape, words),), _ = plain_tensors.decode(kind, codec, stream, items)
    assert (name, shape) == (kind, (2, 3))
    assert words.tobytes() == bytes(tensor.reshape(-1).view(torch.uint8).tolist())
    if dtype != torch.bfloat16:
        values = Raw(kind, shape, words).values()
        assert values.dtype == np.dtype(kind)
        assert values.tolist() == tensor.tolist()


def test_a_truth_value_is_0_or_1():
    for value, good in ((0, True), (1, True), (2, False), (255, False)):
        stream = byte_planes.encode_xz(np.array([[1], [value]], np.uint8))
        if good:
            assert plain_tensors.decode("bool", "xz", stream, [Item("a", (2,))])[0][0].words.tolist() == [1, value]
            continue
        with pytest.raises(Damaged, match=r"^a truth value is neither 0 nor 1$"):
            plain_tensors.decode("bool", "xz", stream, [Item("a", (2,))])
        assert plain_tensors.decode("uint8", "xz", stream, [Item("a", (2,))])[0][0].words.tolist() == [1, value]


def test_a_stream_of_other_words_is_told():
    split = np.arange(40, dtype=np.uint8).reshape(10, 4)
    with pytest.raises(Damaged, match=r"^40 bytes for 11 words of 4$"):
        byte_planes.decode_xz(byte_planes.encode_xz(split), 11, 4)
    # A stream of b bytes holds no more than (b + 8) · 32768 bytes of words.
    for lengths, size in (([32768 * 8 // 4, 1], 4), ([32768 * 8 + 1], 1)):
        with pytest.raises(Damaged, match=r"^a stream is too short for its words$"):
            byte_planes.decode_range(b"", lengths, [0] * len(lengths), size)
    with pytest.raises(Damaged, match=r"^a range coded stream is cut short$"):
        byte_planes.decode_range(b"abc", [1], [0], 1)
    with pytest.raises(Damaged, match=r"^a range coded stream is damaged \(.+\)$"):
        byte_planes.decode_range(b"\xff" * 8, [1], [0], 1)


@pytest.mark.parametrize("shape", [(), (1, 1), (2, 1), (1, 3), (2, 3)])
def test_levels_stand_for_their_steps_from_zero_times_the_scale(shape):
    draw = np.random.default_rng(key("levels stand for"))
    levels = draw.integers(0, 16, (2, 3)).astype(np.int32)
    scale = draw.random(shape).astype(np.float32)
    zero_point = draw.integers(0, 16, shape).astype(np.int32)
    found = RawLevels(levels, np.asarray(scale), np.asarray(zero_point), 0, 15).dequantize()
    wide, zeros = np.broadcast_to(scale, (2, 3)), np.broadcast_to(zero_point, (2, 3))
    wanted = [[np.float32(levels[i, j] - zeros[i, j]) * wide[i, j] for j in range(3)] for i in range(2)]
    assert found.dtype == np.float32
    assert found.tolist() == wanted
    assert found.shape == (2, 3)
