"""Codecs of levels: identity at every shape, width and sparsity, and sizes against closed forms."""

import hashlib
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from espalier.coding import adaptive_models, byte_planes, codecs, dense, ladder, mixed, mixing, xz
from espalier.coding.earlier_tensors import EarlierTensors
from espalier.coding.entropy import bound_bytes, conditional_bytes, entropy_bits, value_bits
from espalier.errors import Damaged
from espalier.seeding import key
from support.coded_networks import image_weights, sparse

GOLDEN = [
    (449, "52a5fd28f007d882"),
    (417, "2461c88e00e0702f"),
    (536, "76d9402b15af0dc0"),
    (8760, "7d050ac707a0d95b"),
]
LEAST, MOST = -(2**16) + 1, 2**16 - 1
TENSORS = st.integers(2, 17).flatmap(
    lambda width: arrays(
        np.int32,
        array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=9),
        elements=st.integers(1 - 2 ** (width - 1), 2 ** (width - 1) - 1),
        fill=st.just(0),
    )
)


@pytest.mark.parametrize("allowed", [(one,) for one in codecs.CODECS] + [codecs.CODECS], ids="-".join)
@settings(max_examples=60, deadline=None)
@given(levels=TENSORS)
@example(np.array([LEAST, 0, MOST], np.int32))
@example(np.full((3, 5), -128, np.int32))
@example(np.eye(64, dtype=np.int32) * 127)
def test_what_is_decoded_is_what_was_encoded(allowed, levels):
    there, back = EarlierTensors(), EarlierTensors()
    for one in (levels, np.roll(levels, 1), -levels):
        coded = codecs.encode(one, there, allowed)
        found = codecs.decode(coded, one.shape, back)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, one)
        assert len(coded.stream) <= dense.size(one.size, coded.low, coded.high)


@pytest.mark.parametrize("shape", [(64, 40, 2), (40, 64, 3), (40, 1, 9), (1, 3, 50), (600, 300, 1), (1, 500, 1)])
@pytest.mark.parametrize("width", [2, 4, 8, 16])
def test_mixing_is_exact_over_every_kind_of_tensor(width, shape):
    there, back = EarlierTensors(), EarlierTensors()
    for one, density in enumerate((0.02, 0.02, 0.5, 1.0)):
        levels = sparse(shape, width, density, width, one // 2).astype(np.int32)
        if levels.any():
            chosen, stream = mixed.encode(levels, there, 4 * levels.size)
            np.testing.assert_array_equal(mixed.decode(stream, levels.shape, chosen, back), levels)
        there.add(levels)
        back.add(levels)
    for one, other in zip(there.memory, back.memory, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_stream_that_would_be_too_long_teaches_nothing():
    levels, earlier = sparse((64, 40, 2), 8, 0.5, "too long"), EarlierTensors()
    fresh = mixing.memory()
    assert mixed.encode(levels, earlier, 100) is None
    assert all((one == other).all() for one, other in zip(earlier.memory, fresh, strict=True))
    assert mixed.encode(levels, earlier, 10_000) is not None
    assert (earlier.memory.contexts != fresh.contexts).any()


def test_what_is_spent_is_the_length_of_the_stream():
    earlier = EarlierTensors()
    for one in range(3):
        levels = sparse((200, 100), 8, 0.2, "spent", one)[:, :, None]
        _, stream = mixed.encode(levels, earlier, 1 << 20)
        index, value = earlier.spent
        assert index > 0 < value
        assert (index + value) / 8 == pytest.approx(len(stream), abs=2)


def test_rows_that_others_add_up_to_take_less():
    # As in a classifier trained with weight decay, whose rows add up to little.
    draw = np.random.default_rng(key("linear"))
    levels = np.rint(draw.normal(0, 20, (6, 900))).astype(np.int32)
    sizes = []
    for last in (-levels[:5].sum(0), np.rint(draw.normal(0, 20 * 5**0.5, 900))):
        levels[5] = last
        sizes.append(len(codecs.encode(levels, EarlierTensors()).stream))
    assert sizes[0] < sizes[1] - 0.3 * value_bits(levels[5]) / 8


def test_the_entropy_given_row_and_column():
    rows = np.repeat([[0], [5], [5], [0]], 32, 1)
    assert conditional_bytes(rows) == 0 < bound_bytes(rows)
    # Half of all cells, in every row and column: knowing these tells nothing of which; values go by the row.
    board = np.indices((32, 32)).sum(0) % 2 * np.repeat([[3], [9]], 16, 0)
    assert conditional_bytes(board) == pytest.approx(32 * 32 / 8)
    assert bound_bytes(board) == pytest.approx((32 * 32 + 512) / 8)
    assert conditional_bytes(np.zeros((0, 4), np.int32)) == conditional_bytes(np.zeros(5, np.int32)) == 0


def test_the_smallest_stream_is_chosen():
    levels = sparse((200, 100), 8, 0.05, "chosen")
    sizes = {one: len(codecs.encode(levels, EarlierTensors(), (one,)).stream) for one in codecs.CODECS}
    best = codecs.encode(levels, EarlierTensors())
    assert best.codec == "mixed" == min(sizes, key=sizes.get)
    assert len(best.stream) == min(sizes.values())
    whole = np.random.default_rng(key("whole")).integers(-8, 8, (40, 40)).astype(np.int32)
    assert codecs.encode(whole, EarlierTensors()).codec == "dense"
    for value in (0, 3):
        constant = codecs.encode(np.full((50, 50), value, np.int32), EarlierTensors())
        assert (constant.codec, constant.stream) == ("dense", b"")


def test_independent_levels_take_their_entropy_and_little_more():
    draw = np.random.default_rng(key("independent"))
    levels = np.rint(draw.normal(0, 40, (512, 512))).clip(-127, 127).astype(np.int32)
    levels[draw.random(levels.shape) < 0.95] = 0
    size = len(codecs.encode(levels, EarlierTensors()).stream)
    assert bound_bytes(levels) < size < 1.015 * bound_bytes(levels)


def test_structure_takes_less_than_order_0_entropy():
    draw = np.random.default_rng(key("structure"))
    rates = np.outer(draw.beta(0.3, 3, 256), draw.beta(0.5, 1, 256))
    levels = np.where(draw.random(rates.shape) < rates, draw.integers(10, 100, rates.shape), 0).astype(np.int32)
    assert len(codecs.encode(levels, EarlierTensors()).stream) < 0.97 * bound_bytes(levels)


@pytest.mark.parametrize(("width", "share"), [(5, 0.95), (14, 0.8)])
def test_weights_beside_each_other_in_an_image_take_less(width, share):
    levels = image_weights(90, 4 * width * width, width)
    coded = codecs.encode(levels, EarlierTensors())
    assert coded.settings[3] == width
    order = np.random.default_rng(key("mixed up")).permutation(levels.shape[1])
    moved = codecs.encode(levels[:, order], EarlierTensors())
    assert len(coded.stream) < share * len(moved.stream)
    np.testing.assert_array_equal(codecs.decode(coded, levels.shape, EarlierTensors()), levels)


def test_rows_that_another_tensor_had_cost_next_to_nothing():
    draw = np.random.default_rng(key("rows"))
    live = draw.random(4000) < 0.3
    first, second = (np.where(live, draw.integers(1, 3, 4000), 0).astype(np.int32)[:, None, None] for _ in range(2))
    earlier = EarlierTensors()
    earlier.add(first)
    alone, beside = (len(mixed.encode(second, each, 10_000)[1]) for each in (EarlierTensors(), earlier))
    entropy = entropy_bits(np.bincount(live.astype(int))) / 8
    assert alone - beside > 0.9 * entropy


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 17), st.integers(-5, 5), st.data())
def test_packing_is_exact_and_takes_the_bits(width, low, data):
    high = low + (1 << width) - 1
    levels = data.draw(arrays(np.int64, st.integers(0, 50), elements=st.integers(low, high)))
    packed = dense.encode(levels, low, high)
    assert len(packed) == dense.size(len(levels), low, high) == -(-len(levels) * width // 8)
    np.testing.assert_array_equal(dense.decode(packed, len(levels), low, high), levels)


def test_packing_over_several_chunks():
    levels = np.random.default_rng(key("chunks")).integers(-3, 5, 200_001)
    np.testing.assert_array_equal(dense.decode(dense.encode(levels, -3, 4), len(levels), -3, 4), levels)


@pytest.mark.parametrize(
    ("occurrences", "lengths"),
    [([5, 1, 1, 1], [1, 2, 3, 3]), ([1, 1, 1, 1], [2] * 4), ([0, 9, 0], [0, 1, 0]), ([0], [0]), ([], [])],
)
def test_huffman_lengths(occurrences, lengths):
    assert sorted(ladder.huffman_lengths(np.array(occurrences, np.int64))) == sorted(lengths)


@settings(max_examples=50, deadline=None)
@given(arrays(np.int64, st.integers(1, 400), elements=st.integers(0, 30)))
def test_a_huffman_code_is_complete_and_within_a_bit_of_entropy(symbols):
    occurrences = np.bincount(symbols, minlength=31)
    sizes = ladder.huffman_lengths(occurrences)
    np.testing.assert_array_equal(sizes > 0, occurrences > 0)
    used = sizes[sizes > 0].astype(float)
    assert (0.5**used).sum() == (1 if len(used) > 1 else 0.5)
    assert entropy_bits(occurrences) <= sizes @ occurrences + 1e-6 <= entropy_bits(occurrences) + len(symbols) + 1e-6


def test_a_distance_longer_than_its_symbol_is_taken_in_steps():
    levels = np.zeros(2000, np.int32)
    levels[[0, 255, 512, 1999]] = [1, 2, 3, 4]
    distances, values = ladder.relative_index(levels)
    assert distances.tolist() == [0, 254, 255, 1, *[255] * 5, 211]
    assert values.tolist() == [1, 2, 3, 4]


def test_blocks_are_intervals_without_gaps():
    for total in (0, 1, 63, 64, 65, 1000, 10**6, 10**8):
        found = adaptive_models.blocks(total)
        assert sum(stop - start for start, stop in found) == total
        assert all(a[1] == b[0] for a, b in pairwise(found))
        assert all(stop - start <= 1 << 16 for start, stop in found)
    # At first 64, then an eighth of those before, and no more than a 64th of all.
    assert adaptive_models.blocks(700) == [*((start, start + 64) for start in range(0, 640, 64)), (640, 700)]
    sizes = [stop - start for start, stop in adaptive_models.blocks(64_000)]
    assert sizes[:10] == [*[64] * 9, 72] and max(sizes) == 1000
    assert max(stop - start for start, stop in adaptive_models.blocks(10**7)) == 1 << 16


@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_words_come_back_by_either_codec(dtype, floats):
    draw = np.random.default_rng(key("words", np.dtype(dtype).itemsize))
    lengths, kinds = [100, 0, 100, 7], [0, 1, 1, 0]
    words = draw.integers(0, np.iinfo(dtype).max, 207, dtype, endpoint=True)
    split = byte_planes.words(words, floats)
    np.testing.assert_array_equal(byte_planes.values(split, floats), words)
    size = split.shape[1]
    np.testing.assert_array_equal(byte_planes.decode_xz(byte_planes.encode_xz(split), 207, size), split)
    stream = byte_planes.encode_range(split, lengths, kinds)
    np.testing.assert_array_equal(byte_planes.decode_range(stream, lengths, kinds, size), split)


def test_the_exponent_of_a_float_is_its_first_byte():
    split = byte_planes.words(np.array([1.0, -2.0], np.float32).view(np.uint32), True)
    assert split.tolist() == [[127, 0, 0, 0], [128, 0, 0, 1]]


def test_decompression_makes_no_more_than_it_may():
    bomb = xz.compress(bytes(10**7))
    tracemalloc.start()
    try:
        with pytest.raises(Damaged, match="more than 1000 bytes"):
            xz.decompress(bomb, 1000)
        # The dictionary of 2^24 bytes may be counted.
        assert tracemalloc.get_traced_memory()[1] < (1 << 24) + (1 << 21)
    finally:
        tracemalloc.stop()
    assert xz.decompress(bomb, 10**7) == bytes(10**7)


def test_a_stream_is_the_same_on_every_machine():
    i, j = np.mgrid[:60, :50]
    number = i * 7919 + j * 104729 + i * j * 31
    levels = np.where((number % 11 < 2) & (i % 3 > 0) & (j % 7 > 1), number % 201 - 100, 0).astype(np.int32)
    digests, earlier = [], EarlierTensors()
    for part in (levels[:, :, None], levels[:48].reshape(16, 3, 50), levels.reshape(-1, 1, 5)):
        _, stream = mixed.encode(part, earlier, 10_000)
        earlier.add(part)
        digests.append((len(stream), hashlib.sha256(stream).hexdigest()[:16]))
    words = byte_planes.words((number.reshape(-1) * 2654435761 % 2**32 // 1000).astype(np.uint32), True)
    stream = byte_planes.encode_range(words, [1000, 1000, 1000], [0, 1, 0])
    digests.append((len(stream), hashlib.sha256(stream).hexdigest()[:16]))
    # A change of any of these makes files that were written before unreadable: it needs a new format.
    assert digests == GOLDEN
