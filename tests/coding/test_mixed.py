"""What the coding by mixed predictions measures and remembers, read again from the page on the format."""

import struct
import zlib

import numpy as np
import pytest

from espalier.coding import codecs, mixed
from espalier.coding.codecs import Coded
from espalier.coding.earlier_tensors import EarlierTensors
from espalier.coding.mixed import Settings
from espalier.errors import Damaged
from espalier.seeding import key
from support.coded_networks import image_weights, sparse

EDGES = (2, 3, 4, 6, 7, 9, 11, 14, 18, 24, 36)


def lines(levels, axis):
    """The cells of each row (axis 0) or channel (axis 1) of a tensor of rows, channels, taps."""
    found = [[] for _ in range(levels.shape[axis])]
    for place in np.ndindex(*levels.shape):
        found[place[axis]].append(abs(int(levels[place])))
    return found


def held(found):
    """How many edges are at most the sum of each line in eighths of the mean of live lines, and 1; 0 of a dead one."""
    sums = [sum(line) for line in found]
    mean = max(sum(sums) // max(sum(one > 0 for one in sums), 1), 1)
    return [1 + sum(edge <= one * 8 // mean for edge in EDGES) if one else 0 for one in sums]


@pytest.mark.parametrize("shape", [(7, 5, 3), (4, 1, 6), (1, 9, 1), (30, 40, 1)])
def test_lines_of_a_tensor_are_remembered_with_what_they_hold(shape):
    earlier = EarlierTensors()
    levels = sparse(shape, 12, 0.4, "lines", *shape)
    # From nearly nothing to nearly all of what is in the tensor.
    levels *= 4 ** (np.arange(shape[0]) % 6)[:, None, None] * 3 ** (np.arange(shape[1]) % 7)[:, None]
    earlier.add(levels.astype(np.int32))
    for axis in (0, 1):
        length, one = shape[axis], lines(levels, axis)
        if axis and length == 1:
            assert earlier.live_flags(1).tolist() == earlier.magnitude_classes(1).tolist() == [0]
            continue
        assert earlier.live_flags(length).tolist() == [int(any(line)) for line in one]
        assert earlier.magnitude_classes(length).tolist() == held(one)
    assert earlier.live_flags(999).tolist() == earlier.magnitude_classes(999).tolist() == [0] * 999
    assert earlier.live_flags(999).dtype == earlier.magnitude_classes(shape[0]).dtype == np.int64


def test_every_magnitude_class_begins_at_its_edge():
    # The mean of live lines is 8: what a line holds is then the edge itself.
    for place, edge in enumerate(EDGES):
        sums = np.array([edge - 1, edge, 0])
        rest = 8 * 20 - int(sums.sum())
        held_by = np.concatenate([sums, np.full(17, rest // 18), [rest - 17 * (rest // 18)]])
        earlier = EarlierTensors()
        earlier.add(held_by.astype(np.int32).reshape(-1, 1, 1))
        assert earlier.magnitude_classes(21)[:3].tolist() == [1 + place, 2 + place, 0]


def test_three_tensors_are_remembered_and_the_latest_is_the_lowest_bit():
    earlier, live = EarlierTensors(), [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [1, 1, 0, 0]]
    for seen, row in enumerate(live, 1):
        earlier.add(np.array(row, np.int32)[:, None, None] * -5)
        earlier.add(np.zeros((0, 4, 1), np.int32))
        earlier.add(np.ones((2, 1, 9), np.int32))
        latest = live[max(seen - 3, 0) : seen][::-1]
        assert earlier.live_flags(4).tolist() == [
            sum(row[k] << bit for bit, row in enumerate(latest)) for k in range(4)
        ]
        assert earlier.magnitude_classes(4).tolist() == [6 * one for one in row]
    # Rows come before channels: in a square tensor both are of one length.
    earlier = EarlierTensors()
    earlier.add(np.array([[1, 1], [0, 0]], np.int32)[:, :, None])
    assert earlier.live_flags(2).tolist() == [0b11, 0b01]


def test_levels_of_the_most_bits_are_remembered():
    earlier = EarlierTensors()
    earlier.add(np.full((2, 60_000, 1), -(1 << 17), np.int32))
    assert earlier.magnitude_classes(2).tolist() == [6, 6]


def starts(least, greatest):
    found = [least]
    while found[-1] < greatest:
        step = max(1, min(found[-1] // 4, (greatest - least) // 16))
        found.append(min(found[-1] + step, greatest))
    return [*found, greatest + 1]


@pytest.mark.parametrize("ends", [(1, 1), (1, 2), (3, 3), (1, 7), (1, 127), (40, 127), (500, 70_000), (1, 131_071)])
def test_intervals_of_magnitudes_widen(ends):
    found = mixed.interval_starts(*ends)
    assert found.dtype == np.int64
    assert found.tolist() == starts(*ends)


def measured(levels):
    """Least and greatest magnitude, and the bits of the mean square of cells in live rows and channels."""
    rows = [row for row in levels.tolist() if any(map(any, row))]
    cells = [taps for row in rows for j, taps in enumerate(row) if levels[:, j].any()]
    numbers = [abs(level) for taps in cells for level in taps]
    return min(filter(None, numbers)), max(numbers), (sum(n * n for n in numbers) // len(numbers)).bit_length()


@pytest.mark.parametrize("shape", [(20, 30, 1), (9, 4, 9), (12, 1, 5), (1, 50, 1)])
@pytest.mark.parametrize("bits", [2, 8, 17])
def test_the_settings_are_what_was_measured(shape, bits):
    levels = sparse(shape, bits, 0.3, "measured", bits, *shape)
    levels[0, -1, 0] = 2 ** (bits - 1) - 1
    settings, stream = mixed.encode(levels, EarlierTensors(), 1 << 20)
    assert settings == (*measured(levels), 0)
    np.testing.assert_array_equal(mixed.decode(stream, shape, settings, EarlierTensors()), levels)


def test_the_greatest_magnitude_that_the_format_has():
    levels = np.array([[[131_071], [-131_071]]], np.int32)
    settings, stream = mixed.encode(levels, EarlierTensors(), 100)
    assert settings == (131_071, 131_071, 34, 0)
    np.testing.assert_array_equal(mixed.decode(stream, (1, 2, 1), settings, EarlierTensors()), levels)


def test_a_stream_of_just_so_many_bytes_is_one():
    levels = sparse((40, 30, 2), 8, 0.3, "most")
    _, stream = mixed.encode(levels, EarlierTensors(), 1 << 20)
    assert mixed.encode(levels, EarlierTensors(), len(stream))[1] == stream
    assert mixed.encode(levels, EarlierTensors(), len(stream) - 1) is None


def image_widths(levels):
    """The width at which cells above each other are both not zero most often over chance, if by a quarter at least."""
    rows = [[cell != 0 for cell in row] for row in levels[:, :, 0].tolist() if any(row)]
    channels = levels.shape[1]
    counts = [sum(row[c] for row in rows) for c in range(channels)]
    if levels.shape[2] > 1 or len(rows) >= sum(count > 0 for count in counts):
        return []
    found = []
    for width in range(2, channels + 1):
        if width * width <= channels and channels % (width * width) == 0:
            pairs = [(c, c + width) for c in range(channels - width)]
            both = sum(row[a] and row[b] for row in rows for a, b in pairs)
            chance = sum(counts[a] * counts[b] for a, b in pairs) / len(rows)
            found.append((both / max(chance, 1), width))
    lift, width = max(found, default=(0, 0))
    return [width] if lift > 1.25 else []


IMAGES = [
    *(image_weights(30, images * width * width, width) for width in (2, 3, 6, 7) for images in (1, 4)),
    # Images of 5 by 5 in channels that are no multiple of 25, and more rows than channels.
    image_weights(30, 90, 5),
    image_weights(200, 36, 6),
    *(sparse((6, 36), 8, share / 50, "image", share) for share in (1, 3, 5, 10, 20, 30, 40, 50)),
    *(sparse((5, 64), 8, 0.12, "image", seed) for seed in range(12)),
]


def test_a_width_is_tried_where_cells_above_each_other_are_alike():
    expected = [image_widths(levels[:, :, None]) for levels in IMAGES]
    assert [mixed._widths(levels[:, :, None]) for levels in IMAGES] == expected
    assert [2] in expected and [6] in expected and [] in expected
    assert mixed._widths(np.repeat(IMAGES[4][:, :, None], 2, 2)) == []


@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_neighbours_are_the_live_pixels_left_and_above_in_the_same_row_of_an_image(width):
    live = np.random.default_rng(key("neighbours")).random(130) < 0.7
    order = [channel for channel in range(130) if live[channel]]
    found = []
    for channel in order:
        x, y = channel % width, channel // width % width
        row = []
        for right, down in ((-1, 0), (0, -1), (-1, -1), (1, -1)):
            inside = 0 <= x + right < width and y + down >= 0
            other = channel + right + down * width
            row.append(order.index(other) if inside and live[other] else -1)
        found.append(row)
    neighbours = mixed._neighbours(live, width)
    assert neighbours.dtype == np.int64
    assert neighbours.tolist() == found


@pytest.mark.parametrize("width", [2, 3, 4, 7])
@pytest.mark.parametrize("images", [1, 3])
def test_the_width_of_images_is_found(width, images):
    levels = image_weights(60, images * width * width, width)[:, :, None]
    settings, stream = mixed.encode(levels, EarlierTensors(), 1 << 20)
    assert settings.width in (0, width)
    np.testing.assert_array_equal(mixed.decode(stream, levels.shape, settings, EarlierTensors()), levels)


@pytest.mark.parametrize(
    "settings",
    [(0, 5, 4, 0), (6, 5, 4, 0), (1, 1 << 17, 34, 0), (1, 5, -1, 0), (1, 5, 35, 0), (1, 5, 4, -1), (1, 5, 4, 1 << 16)],
)
def test_settings_beyond_the_format_are_refused(settings):
    least, greatest, spread, width = settings
    said = f"^magnitudes from {least} to {greatest}, of {spread} bits, and a width of {width}$"
    with pytest.raises(Damaged, match=said):
        mixed.decode(b"\0" * 8, (2, 2, 1), Settings(*settings), EarlierTensors())


@pytest.mark.parametrize("shape", [(200_000, 100_000, 1), (100_000, 200_000, 1), (300_000, 1, 1), (1, 300_000, 1)])
def test_more_lines_than_the_bytes_of_a_stream_could_tell_are_refused(shape):
    # 8 bytes more than the stream has, of 32,768 symbols each.
    with pytest.raises(Damaged, match=r"^a stream is too short for its shape$"):
        mixed.decode(b"\xff", shape, Settings(1, 5, 4, 0), EarlierTensors())


def test_a_shape_is_rows_channels_and_taps():
    shapes = [(), (5,), (5, 6), (5, 6, 7), (5, 6, 7, 8), (0, 3), (3, 0, 1 << 40, 1 << 40)]
    expected = [(1, 1, 1), (1, 5, 1), (5, 6, 1), (5, 6, 7), (5, 6, 56), (0, 3, 1), (3, 0, 1 << 80)]
    assert [codecs.matrix(shape) for shape in shapes] == expected


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 0, 3), (2, 1, 3, 2)])
def test_the_checksum_of_levels_is_that_of_their_shape_and_then_of_themselves(shape):
    levels = np.random.default_rng(key("checksum")).integers(-70_000, 70_000, shape, endpoint=True)
    flat = np.asarray(levels).reshape(-1).tolist()
    data = struct.pack(f"<{len(shape)}q", *shape) + struct.pack(f"<{len(flat)}i", *flat)
    assert codecs.checksum(np.asarray(levels)) == zlib.crc32(data)
    assert codecs.checksum(np.asarray(levels, np.int32, order="F")) == zlib.crc32(data)


@pytest.mark.parametrize(
    ("coded", "shape", "said"),
    [
        (Coded("dense", 3, 2, (), b""), (2,), "levels from 3 to 2"),
        (Coded("dense", -(1 << 17), 2, (), b""), (2,), "levels from -131072 to 2"),
        (Coded("dense", 0, 1 << 17, (), b""), (2,), "levels from 0 to 131072"),
        (Coded("dense", 0, 1, (0,), b""), (2,), "1 settings for the codec dense"),
        (Coded("mixed", 0, 1, (1, 1, 1), b""), (2,), "3 settings for the codec mixed"),
        (Coded("mixed", 0, 1, (1, 1, 1, 0), b""), (0, 2), "an empty tensor is coded by mixing"),
        (Coded("dense", 0, 1, (), b""), (2,), "0 bytes for 2 values of 1 bits"),
        (Coded("dense", 0, 4, (), b"\x0f"), (2,), "levels beyond 0 to 4"),
        (Coded("dense", -4, 0, (), b"\x24"), (2,), None),
        (Coded("dense", 1 - (1 << 17), 1 - (1 << 17), (), b""), (2,), None),
        (Coded("dense", (1 << 17) - 1, (1 << 17) - 1, (), b""), (2,), None),
    ],
)
def test_levels_and_what_is_told_of_them_go_together(coded, shape, said):
    earlier = EarlierTensors()
    if said is None:
        assert codecs.decode(coded, shape, earlier).shape == shape
        return
    with pytest.raises(Damaged) as caught:
        codecs.decode(coded, shape, earlier)
    assert str(caught.value) == said
    assert not earlier.live_flags(2).any()


def test_levels_coded_by_mixing_stay_within_their_ends():
    levels = sparse((30, 20), 8, 0.4, "ends")
    coded = codecs.encode(levels, EarlierTensors())
    assert (coded.codec, coded.low, coded.high) == ("mixed", levels.min(), levels.max())
    for low, high in ((coded.low + 1, coded.high), (coded.low, coded.high - 1)):
        with pytest.raises(Damaged, match=f"^levels beyond {low} to {high}$"):
            codecs.decode(coded._replace(low=low, high=high), levels.shape, EarlierTensors())
