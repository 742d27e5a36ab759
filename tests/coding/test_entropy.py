"""Entropies of levels, against their definitions read cell by cell."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from espalier.coding.entropy import bound_bytes, conditional_bytes, entropy_bits, value_bits, zeroness_bits


def bits(symbols) -> float:
    """−Σ log2 of how often each symbol occurs among all."""
    counts = Counter(symbols)
    return sum(-count * math.log2(count / len(symbols)) for count in counts.values())


def odds_class(live: list[bool]) -> int | str:
    if not any(live):
        return "none"
    if all(live):
        return "all"
    # numpy rounds halves to even, as Python does.
    return max(-8, min(8, round(math.log2(sum(live) / (len(live) - sum(live))))))


def conditional(matrix: list[list[int]]) -> float:
    """Bytes of zeroness and values, each given the classes of its row and column."""
    columns = [list(column) for column in zip(*matrix, strict=True)]
    magnitudes = [abs(level) for row in matrix for level in row if level]
    mean = sum(magnitudes) / max(len(magnitudes), 1)

    def classes(lines):
        live = [odds_class([level != 0 for level in line]) for line in lines]
        sums = [(sum(map(abs, line)), sum(level != 0 for level in line)) for line in lines]
        return live, [total > mean * count for total, count in sums]

    (row_odds, row_large), (column_odds, column_large) = classes(matrix), classes(columns)
    zeroness, values = defaultdict(list), defaultdict(list)
    for i, row in enumerate(matrix):
        for j, level in enumerate(row):
            zeroness[row_odds[i], column_odds[j]].append(level != 0)
            if level:
                values[row_large[i], column_large[j]].append(level)
    return sum(map(bits, [*zeroness.values(), *values.values()])) / 8


def levels(shape, density, spread, seed=0):
    generator = np.random.default_rng(seed)
    values = generator.integers(1, spread + 1, shape) * generator.choice([-1, 1], shape)
    # Rows and columns of different density, so that their classes differ.
    rates = (
        density * generator.uniform(0, 2, (shape[0], *[1] * (len(shape) - 1))) * generator.uniform(0.2, 1, shape[1:])
    )
    return np.where(generator.random(shape) < rates, values, 0).astype(np.int32)


@pytest.mark.parametrize(
    "tensor",
    [
        levels((7, 11), 0.5, 6),
        levels((40, 600), 0.05, 9, seed=1),
        levels((600, 40), 0.05, 9, seed=2),
        levels((30, 700), 1.2, 3, seed=3),
        levels((12, 5, 3, 3), 0.3, 15, seed=4),
        levels((1, 900), 0.01, 2, seed=5),
        # One zero in 700 and two in 700 are of one class of odds, as are one and two levels in 700.
        np.array([[0] + [1] * 699, [1, 0, 0] + [2] * 697, [0] * 699 + [3], [0] * 698 + [1, 1]], np.int32),
        np.full((4, 5), 3, np.int32),
        np.array([[1, 1], [0, 0], [2, -2]], np.int32),
    ],
    ids=lambda tensor: "x".join(map(str, tensor.shape)),
)
def test_the_conditional_entropy_is_that_of_its_definition(tensor):
    assert conditional_bytes(tensor) == pytest.approx(conditional(tensor.reshape(len(tensor), -1).tolist()), abs=1e-9)


def test_a_vector_is_one_row():
    vector = levels((200,), 0.4, 5)
    assert conditional_bytes(vector) == pytest.approx(conditional([vector.tolist()]))
    assert conditional_bytes(vector) == conditional_bytes(vector[None])


def test_entropies_of_levels_are_those_of_their_symbols():
    tensor = levels((20, 30), 0.4, 7)
    flat = tensor.reshape(-1).tolist()
    values = [level for level in flat if level]
    assert zeroness_bits(tensor) == pytest.approx(bits([level != 0 for level in flat]))
    assert value_bits(tensor) == pytest.approx(bits(values))
    assert bound_bytes(tensor) == pytest.approx((bits([level != 0 for level in flat]) + bits(values)) / 8)
    assert entropy_bits(np.array([3, 0, 1])) == pytest.approx(bits("aaab"))


def test_nothing_and_one_symbol_alone_have_no_entropy():
    assert entropy_bits(np.zeros(4, np.int64)) == entropy_bits(np.zeros(0, np.int64)) == 0
    assert entropy_bits(np.array([5])) == value_bits(np.zeros(3, np.int32)) == value_bits(np.full(3, -2, np.int32)) == 0
