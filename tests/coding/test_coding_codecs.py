"""Codecs of levels: identity at every shape, width and sparsity, and sizes against closed forms."""

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from espalier.coding import bitmap, bits, codecs, contexts, counts, dense, huffman, planes, relative, xz
from espalier.coding.entropy import bound_bytes, entropy_bits
from espalier.coding.flags import Flags
from espalier.runs.checkpoint import Damaged
from espalier.seeding import key
from support.coded_networks import sparse

GOLDEN = [(472, "ce5f2bee33d94d78"), (520, "464eef197d8aeb81"), (8760, "7d050ac707a0d95b")]
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
    there, back = Flags(), Flags()
    for one in (levels, np.roll(levels, 1), -levels):
        coded = codecs.encode(one, there, allowed)
        found = codecs.decode(coded, one.shape, back)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, one)
        assert len(coded.stream) <= bits.packed_bytes(one.size, (coded.high - coded.low).bit_length())


@pytest.mark.parametrize("width", [2, 3, 4, 8, 12, 16])
@pytest.mark.parametrize("density", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("codec", [dense, bitmap, relative])
def test_each_codec_alone_is_exact(codec, density, width):
    levels = sparse((40, 30, 3), width, density, width, int(density * 100))
    low, high = int(levels.min()), int(levels.max())
    found = codec.decode(codec.encode(levels, low, high), levels.size, low, high)
    np.testing.assert_array_equal(found, levels.reshape(-1))


@pytest.mark.parametrize("models", [(0, 0, 0), (1, 2, 0), (2, 2, 1), (2, 0, 1)])
@pytest.mark.parametrize("width", [2, 4, 8, 16])
def test_the_range_coder_is_exact_with_every_model(width, models):
    there, back = Flags(), Flags()
    for one, density in enumerate((0.02, 0.02, 0.5, 1.0)):
        levels = sparse((64, 40, 2), width, density, width, one // 2).astype(np.int32)
        chosen, stream = contexts.encode(levels, there, models)
        np.testing.assert_array_equal(contexts.decode(stream, levels.shape, chosen, back), levels)
        there.add(levels)
        back.add(levels)


def test_the_smallest_stream_is_chosen():
    levels = sparse((200, 100), 8, 0.05, "chosen")
    sizes = {one: len(codecs.encode(levels, Flags(), (one,)).stream) for one in codecs.CODECS}
    best = codecs.encode(levels, Flags())
    assert best.codec == "range" == min(sizes, key=sizes.get)
    assert len(best.stream) == min(sizes.values())
    whole = np.random.default_rng(key("whole")).integers(-8, 8, (40, 40)).astype(np.int32)
    assert codecs.encode(whole, Flags()).codec == "dense"
    assert codecs.encode(np.full((50, 50), 3, np.int32), Flags()).stream == b""


def test_without_constriction_the_standard_library_does(monkeypatch):
    monkeypatch.setattr(codecs, "available", lambda: False)
    levels = sparse((200, 100), 8, 0.05, "chosen")
    coded = codecs.encode(levels, Flags())
    assert coded.codec in ("bitmap", "relative")
    np.testing.assert_array_equal(codecs.decode(coded, levels.shape, Flags()), levels)


def test_independent_levels_take_their_entropy_and_little_more():
    draw = np.random.default_rng(key("independent"))
    levels = np.rint(draw.normal(0, 40, (512, 512))).clip(-127, 127).astype(np.int32)
    levels[draw.random(levels.shape) < 0.95] = 0
    size = len(codecs.encode(levels, Flags()).stream)
    assert bound_bytes(levels) < size < 1.015 * bound_bytes(levels)


def test_structure_takes_less_than_order_0_entropy():
    draw = np.random.default_rng(key("structure"))
    rates = np.outer(draw.beta(0.3, 3, 256), draw.beta(0.5, 1, 256))
    levels = np.where(draw.random(rates.shape) < rates, draw.integers(10, 100, rates.shape), 0).astype(np.int32)
    assert len(codecs.encode(levels, Flags()).stream) < 0.97 * bound_bytes(levels)


def test_rows_that_another_tensor_had_cost_next_to_nothing():
    draw = np.random.default_rng(key("rows"))
    live = draw.random(4000) < 0.3
    first, second = (np.where(live, draw.integers(1, 3, 4000), 0).astype(np.int32)[:, None, None] for _ in range(2))
    flags = Flags()
    flags.add(first)
    alone, beside = (len(contexts.encode(second, each, (0, 0, 0))[1]) for each in (Flags(), flags))
    entropy = entropy_bits(np.bincount(live.astype(int))) / 8
    assert alone - beside > 0.9 * entropy


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 17), st.data())
def test_packing_is_exact_and_takes_the_bits(width, data):
    values = data.draw(arrays(np.int64, st.integers(0, 50), elements=st.integers(0, (1 << width) - 1)))
    packed = bits.pack(values, width)
    assert len(packed) == -(-len(values) * width // 8)
    np.testing.assert_array_equal(bits.unpack(packed, len(values), width), values)


def test_packing_over_several_chunks():
    values = np.random.default_rng(key("chunks")).integers(0, 8, 200_001)
    np.testing.assert_array_equal(bits.unpack(bits.pack(values, 3), len(values), 3), values)


@pytest.mark.parametrize(
    ("occurrences", "lengths"),
    [([5, 1, 1, 1], [1, 2, 3, 3]), ([1, 1, 1, 1], [2] * 4), ([0, 9, 0], [0, 1, 0]), ([0], [0])],
)
def test_huffman_lengths(occurrences, lengths):
    assert sorted(huffman.lengths(np.array(occurrences))) == sorted(lengths)


@settings(max_examples=50, deadline=None)
@given(arrays(np.int64, st.integers(1, 400), elements=st.integers(0, 30)))
def test_huffman_is_exact_and_within_a_bit_of_entropy(symbols):
    occurrences = np.bincount(symbols, minlength=31)
    sizes = huffman.lengths(occurrences)
    used = sizes[sizes > 0].astype(float)
    assert (0.5**used).sum() == (1 if len(used) > 1 else 0.5)
    stream = huffman.encode(symbols, sizes)
    assert entropy_bits(occurrences) / 8 <= len(stream) <= (entropy_bits(occurrences) + len(symbols)) / 8 + 1
    np.testing.assert_array_equal(huffman.decode(stream, len(symbols), sizes), symbols)


def test_huffman_codes_have_a_greatest_length_and_streams_may_be_long():
    fibonacci = [1, 1]
    while len(fibonacci) < 40:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    sizes = huffman.lengths(np.array(fibonacci))
    assert sizes.max() <= huffman.LONGEST
    symbols = np.random.default_rng(key("long")).integers(0, 40, 100_000)
    np.testing.assert_array_equal(huffman.decode(huffman.encode(symbols, sizes), len(symbols), sizes), symbols)


def test_a_distance_longer_than_its_symbol_is_taken_in_steps():
    levels = np.zeros(2000, np.int32)
    levels[[0, 255, 512, 1999]] = [1, 2, 3, 4]
    distances, values = relative.symbols(levels, 0)
    assert distances.tolist() == [0, 254, 255, 1, *[255] * 5, 211]
    assert values.tolist() == [1, 2, 3, 4]


def test_blocks_are_intervals_without_gaps():
    for total in (0, 1, 15, 16, 17, 1000, 10**6, 10**8):
        found = counts.blocks(total)
        assert sum(stop - start for start, stop in found) == total
        assert all(a[1] == b[0] for a, b in pairwise(found))
        assert all(stop - start <= 1 << 16 for start, stop in found)


@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_words_come_back_by_either_codec(dtype, floats):
    draw = np.random.default_rng(key("words", np.dtype(dtype).itemsize))
    lengths, kinds = [100, 0, 100, 7], [0, 1, 1, 0]
    words = draw.integers(0, np.iinfo(dtype).max, 207, dtype, endpoint=True)
    split = planes.words(words, floats)
    np.testing.assert_array_equal(planes.values(split, floats), words)
    size = split.shape[1]
    np.testing.assert_array_equal(planes.decode_xz(planes.encode_xz(split), 207, size), split)
    stream = planes.encode_range(split, lengths, kinds)
    np.testing.assert_array_equal(planes.decode_range(stream, lengths, kinds, size), split)


def test_the_exponent_of_a_float_is_its_first_byte():
    split = planes.words(np.array([1.0, -2.0], np.float32).view(np.uint32), True)
    assert split.tolist() == [[127, 0, 0, 0], [128, 0, 0, 1]]


def test_decompression_makes_no_more_than_it_may():
    bomb = xz.compress(bytes(10**7))
    with pytest.raises(Damaged, match="more than 1000 bytes"):
        xz.decompress(bomb, 1000)
    assert xz.decompress(bomb, 10**7) == bytes(10**7)


def test_a_stream_is_the_same_on_every_machine():
    i, j = np.mgrid[:60, :50]
    mixed = i * 7919 + j * 104729 + i * j * 31
    levels = np.where((mixed % 11 < 2) & (i % 3 > 0) & (j % 7 > 1), mixed % 201 - 100, 0).astype(np.int32)
    digests = []
    for models in ((2, 2, 1), (0, 0, 0)):
        chosen, stream = contexts.encode(levels[:, :, None], Flags(), models)
        digests.append((len(stream), hashlib.sha256(stream).hexdigest()[:16]))
        np.testing.assert_array_equal(contexts.decode(stream, (60, 50, 1), chosen, Flags())[:, :, 0], levels)
    words = planes.words((mixed.reshape(-1) * 2654435761 % 2**32 // 1000).astype(np.uint32), True)
    stream = planes.encode_range(words, [1000, 1000, 1000], [0, 1, 0])
    digests.append((len(stream), hashlib.sha256(stream).hexdigest()[:16]))
    # A change of any of these makes files that were written before unreadable: it needs a new format.
    assert digests == GOLDEN
