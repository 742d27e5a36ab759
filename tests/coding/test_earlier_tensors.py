"""What earlier tensors of a file say of the next one's rows and channels, line by line."""

import numpy as np
import pytest

from espalier.coding.earlier_tensors import EarlierTensors
from espalier.seeding import key


def magnitude_classes(lines) -> list[int]:
    """0 for a line of zeros; otherwise 1, and 1 more for each edge in eighths of the mean that its sum reaches."""
    sums = [sum(abs(int(level)) for level in line) for line in lines]
    live = [each for each in sums if each]
    mean = max(sum(live) // max(len(live), 1), 1)
    edges = (2, 3, 4, 6, 7, 9, 11, 14, 18, 24, 36)
    return [1 + sum(each * 8 // mean >= edge for edge in edges) if each else 0 for each in sums]


def tensor(shape, spread, *words):
    draw = np.random.default_rng(key("earlier", *words))
    sizes = draw.exponential(spread, (shape[0], shape[1], 1)) ** 2
    levels = np.rint(draw.normal(0, 1, shape) * sizes)
    levels[draw.random(shape[0]) < 0.3] = 0
    return levels.astype(np.int32)


@pytest.mark.parametrize("shape", [(40, 30, 1), (30, 40, 9), (1, 50, 1), (2, 2, 2), (60, 2, 1)])
def test_classes_compare_the_sum_of_a_line_with_the_mean_of_those_live(shape):
    earlier, levels = EarlierTensors(), tensor(shape, 3, *shape)
    earlier.add(levels)
    for axis in (0, 1):
        if shape[axis] != shape[1 - axis]:
            lines = np.moveaxis(levels, axis, 0).reshape(shape[axis], -1)
            found = earlier.magnitude_classes(shape[axis])
            assert found.dtype == np.int64
            assert found.tolist() == magnitude_classes(lines)
            assert earlier.live_flags(shape[axis]).tolist() == [int(line.any()) for line in lines]


def test_every_class_occurs():
    sums = [0, *range(1, 41), *[8] * 40, 60]
    levels = np.zeros((len(sums), 2, 1), np.int32)
    levels[:, 0, 0] = sums
    earlier = EarlierTensors()
    earlier.add(levels)
    found = earlier.magnitude_classes(len(sums)).tolist()
    assert found == magnitude_classes(levels.reshape(len(sums), -1))
    assert len(set(found)) >= 11


def test_of_lines_as_many_the_three_latest_tensors_are_remembered():
    earlier = EarlierTensors()
    tensors = [tensor((12, 7, 1), 2, "latest", number) for number in range(5)]
    for one in tensors:
        earlier.add(one)
        earlier.add(tensor((9, 8, 1), 2, "others"))
    live = [one.reshape(12, -1).any(1) for one in reversed(tensors)]
    flags = [sum(int(live[place][line]) << place for place in range(3)) for line in range(12)]
    assert earlier.live_flags(12).tolist() == flags
    assert earlier.magnitude_classes(12).tolist() == magnitude_classes(tensors[-1].reshape(12, -1))


def test_the_columns_of_a_square_tensor_are_later_than_its_rows():
    earlier, levels = EarlierTensors(), np.array([[1, 0], [3, 0]], np.int32)[:, :, None]
    earlier.add(levels)
    # Rows are both live, of columns the first.
    assert earlier.live_flags(2).tolist() == [0b11, 0b10]
    assert earlier.magnitude_classes(2).tolist() == magnitude_classes([[1, 3], [0, 0]])


def test_a_single_channel_and_an_empty_tensor_say_nothing():
    earlier = EarlierTensors()
    earlier.add(np.zeros((4, 0, 3), np.int32))
    assert earlier.live_flags(4).tolist() == earlier.magnitude_classes(4).tolist() == [0] * 4
    earlier.add(np.ones((3, 1, 5), np.int32))
    assert earlier.live_flags(3).tolist() == [1] * 3
    assert earlier.live_flags(1).tolist() == earlier.magnitude_classes(1).tolist() == [0]
    assert earlier.live_flags(2).dtype == earlier.magnitude_classes(2).dtype == np.int64
