"""Which candidates of a rung go on."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espalier.search import halving

THIRD = Fraction(1, 3)


@pytest.mark.parametrize(
    ("scores", "keep", "goes_on"),
    [
        ([[1], [3], [2]], THIRD, [False, True, False]),
        # The mean over seeds decides, not the best of them.
        ([[9, 1], [6, 6], [0, 0]], THIRD, [False, True, False]),
        # Of equal ones the earlier.
        ([[5], [5], [5]], THIRD, [True, False, False]),
        # Rounded down.
        ([[1], [2], [3], [4], [5]], Fraction(1, 2), [False, False, False, True, True]),
        # A seed that diverged takes its configuration with it, though others are good.
        ([[99, None], [1, 1], [2, 2]], THIRD, [False, False, True]),
        ([[None], [None], [1]], Fraction(2, 3), [False, False, True]),
        ([[float("nan")], [1], [2]], THIRD, [False, False, True]),
        # The loss below zero.
        ([[-0.5], [-0.1], [-2.0]], THIRD, [False, True, False]),
    ],
)
def test_the_best_by_their_mean_go_on(scores, keep, goes_on):
    assert halving.kept(scores, halving.count(len(scores), keep)) == goes_on


@given(st.lists(st.lists(st.floats(0, 100), min_size=2, max_size=2), min_size=2, max_size=40), st.fractions(0, 1))
def test_as_many_as_asked_and_none_better_is_dropped(scores, keep):
    most = halving.count(len(scores), keep)
    found = halving.kept(scores, most)
    assert sum(found) == most
    means = [halving.mean(own) for own in scores]
    kept = [mean for mean, goes_on in zip(means, found, strict=True) if goes_on]
    dropped = [mean for mean, goes_on in zip(means, found, strict=True) if not goes_on]
    assert not kept or not dropped or min(kept) >= max(dropped)
