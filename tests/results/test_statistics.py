import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from espalier.results.compare.statistics import estimate, estimates, half_width


def test_three_repeats_by_hand():
    found = estimate([98.0, 99.0, 100.0])
    assert (found.n, found.mean, found.sd) == (3, 99.0, 1.0)
    # t(0.975, 2) = 4.302653 from the printed tables; half width = 4.302653 / sqrt(3).
    assert found.low == pytest.approx(99 - 2.484138, abs=1e-5)
    assert found.high == pytest.approx(99 + 2.484138, abs=1e-5)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 100])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_agrees_with_scipy(n, level):
    values = np.random.default_rng(n).normal(95, 2, n)
    found = estimate(values, level)
    low, high = stats.t.interval(level, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert found.sd == pytest.approx(stats.tstd(values), rel=1e-12)
    assert (found.low, found.high) == (pytest.approx(low, rel=1e-12), pytest.approx(high, rel=1e-12))


def test_interval_covers_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(0, 1, (20_000, 3))
    width = half_width(draws.std(axis=1, ddof=1), np.full(len(draws), 3))
    covered = np.mean(np.abs(draws.mean(axis=1)) <= width)
    assert covered == pytest.approx(0.95, abs=0.005)


def test_one_value_has_no_spread_and_none_has_nothing():
    one = estimate([97.5])
    assert (one.n, one.mean) == (1, 97.5)
    assert all(map(math.isnan, (one.sd, one.low, one.high)))
    nothing = estimate([float("nan")])
    assert nothing.n == 0
    assert all(map(math.isnan, nothing[1:]))


def test_missing_values_do_not_count():
    assert estimate([1.0, float("nan"), 3.0]) == estimate([1.0, 3.0])


def test_groups_agree_with_single_estimates_in_their_order():
    frame = pd.DataFrame({"g": ["b", "a", "b", "a", "b", "c"], "x": [1.0, 2.0, 4.0, 7.0, np.nan, 5.0]})
    table = estimates(frame, "g", ["x"])
    assert list(table.index) == ["b", "a", "c"]
    for label, row in table.iterrows():
        expected = estimate(frame.loc[frame["g"] == label, "x"])
        np.testing.assert_allclose(row.to_numpy(float), expected, rtol=1e-12, equal_nan=True)
