"""Spread, Dunnett's bounds, power and intervals in points against scipy and plain slow readings, also of few, equal or
missing values."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import ndtr

from espalier.results.compare import dunnett, significance
from espalier.results.compare.logits import logits, percents
from espalier.results.compare.repeats_needed import repeats
from espalier.results.compare.samples import image_counts, samples
from espalier.results.compare.spread import Spread, brown_forsythe, each, means, spread
from espalier.results.compare.statistics import estimate, estimates, half_width

NAN = float("nan")


def below(bound, loads, freedom):
    """Probability that no |t| of the groups exceeds the bound, summed over a fine grid of the control's deviate and of
    the spread."""
    z, scale = np.linspace(-8, 8, 401), np.linspace(1e-3, 5, 800)[:, None]
    density = 2 * freedom * scale * stats.chi2.pdf(freedom * scale**2, freedom) * stats.norm.pdf(z)
    for load in loads:
        rest = math.sqrt(1 - load**2)
        ends = ((load * z + sign * bound * scale) / rest for sign in (1, -1))
        upper, lower = map(ndtr, ends)
        density = density * (upper - lower)
    return np.trapezoid(np.trapezoid(density, z, axis=1), scale[:, 0])


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("loads", [(0.5,), (math.sqrt(0.5),) * 2, (0.8, 0.3, 0.5, 0.8)])
@pytest.mark.parametrize("freedom", [4, 38])
def test_dunnetts_bounds_have_their_level(loads, freedom, level):
    bound = dunnett.critical(loads, freedom, level)
    assert below(bound, loads, freedom) == pytest.approx(level, abs=2e-4)
    assert dunnett.p_values(np.array([-bound, bound]), loads, freedom) == pytest.approx([1 - level] * 2, abs=1e-5)


def test_dunnett_of_groups_of_different_sizes_is_scipys():
    generator = np.random.default_rng(2)
    base, others = generator.normal(0, 1, 6), [generator.normal(0, 1, n) for n in (2, 9, 4, 2)]
    loads = [math.sqrt(len(own) / (len(own) + 6)) for own in others]
    found = stats.dunnett(*others, control=base, rng=np.random.default_rng(0))
    p = dunnett.p_values(found.statistic, loads, 5 + 1 + 8 + 3 + 1)
    assert p == pytest.approx(found.pvalue, abs=1e-3)
    assert dunnett.p_values(-found.statistic, loads[::-1], 18) == pytest.approx(p, abs=1e-12)


def test_the_bound_of_high_t_is_found():
    """Beyond four, where the search begins."""
    found = dunnett.critical([math.sqrt(0.5)], 2, 0.99)
    assert found == pytest.approx(stats.t.ppf(0.995, 2), rel=1e-3)
    (p,) = dunnett.p_values(np.array([found]), [math.sqrt(0.5)], 2)
    assert p == pytest.approx(0.01, abs=1e-6)


def test_the_shared_spread_by_hand():
    values = np.array([[1, 2, 3], [4, NAN, 6], [9, NAN, NAN], [NAN, NAN, NAN]])
    # Sums of squares 2 and 2, of 2 + 1 degrees of freedom.
    assert spread(values) == (pytest.approx(math.sqrt(4 / 3)), 3, True, pytest.approx(NAN, nan_ok=True))
    counts, own = each(values)
    assert counts.tolist() == [3, 2, 1, 0]
    assert own == pytest.approx([1, math.sqrt(2), NAN, NAN], nan_ok=True)
    assert means(values) == pytest.approx([2, 5, 9, NAN], nan_ok=True)


def test_groups_of_one_value_have_no_spread():
    sd, freedom, equal, p = spread(np.array([[1.0, NAN], [NAN, 2.0]]))
    assert (freedom, equal) == (0, True) and math.isnan(sd) and math.isnan(p)


@pytest.mark.parametrize("value", [0.1, 1e-3, 3.7, 1234.5678])
def test_equal_values_spread_by_nothing_whatever_their_sum_rounds_to(value):
    assert each(np.full((1, 7), value))[1].tolist() == [0]
    assert each(np.array([[value, value * (1 + 1e-6)]]))[1] == pytest.approx(value * 1e-6 / math.sqrt(2))


def test_spreads_are_refused_where_p_is_below_five_percent():
    generator = np.random.default_rng(0)
    refused = set()
    for factor in np.linspace(1, 6, 30):
        values = generator.normal(0, [[1], [factor]], (2, 12))
        p = stats.levene(*values, center="median").pvalue
        found = spread(values)
        assert found.p == pytest.approx(p) and found.equal == (p >= 0.05)
        refused.add(found.equal)
    assert refused == {True, False}


def test_the_test_of_equal_spreads_needs_two_groups_that_spread():
    two = np.array([[1.0, 2.0, 4.0], [1.0, 2.0, NAN]])
    assert math.isnan(brown_forsythe(two))
    # All as far from their medians.
    assert math.isnan(brown_forsythe(np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]])))
    flat = np.array([[1.0, 1.0, 1.0], [2.0, 2.5, 5.0]])
    assert brown_forsythe(flat) == pytest.approx(stats.levene(*flat, center="median").pvalue)
    ragged = np.array([[1.0, 4.0, 2.0, 8.0, 3.0], [3.0, 3.1, 2.7, NAN, NAN], [1.0, NAN, 9.0, 5.0, 7.5]])
    kept = [row[~np.isnan(row)] for row in ragged]
    assert brown_forsythe(ragged) == pytest.approx(stats.levene(*kept, center="median").pvalue)


def test_half_widths_of_one_two_and_many_values():
    found = half_width(np.array([1.0, 2.0, 2.0]), np.array([1, 2, 9]))
    assert found == pytest.approx(
        [NAN, stats.t.ppf(0.975, 1) * 2 / math.sqrt(2), stats.t.ppf(0.975, 8) * 2 / 3], nan_ok=True
    )
    # A spread that others share makes the width of two values, and none of one.
    shared = half_width(2.0, np.array([1, 2]), 0.9, 20)
    assert shared == pytest.approx([NAN, stats.t.ppf(0.95, 20) * 2 / math.sqrt(2)], nan_ok=True)
    # Two values are enough.
    two = estimate([1.0, 3.0])
    assert two[:3] == (2, 2, pytest.approx(math.sqrt(2))) and two.high == pytest.approx(2 + stats.t.ppf(0.975, 1))


def frame_of(rows, **columns):
    return pd.DataFrame(rows, columns=["configuration", "seed", "test_top1"]).assign(**columns)


def test_intervals_of_few_values_by_hand():
    """Groups of three, two and one value; all share a spread of 2 + 1 degrees of freedom."""
    rows = [("b", 0, 90.0), ("b", 1, 92.0), ("b", 2, 94.0), ("a", 0, 80.0), ("a", 2, 84.0), ("once", 1, 50.0)]
    table = estimates(samples(frame_of(rows, images=[500] * 6), "configuration", "test_top1"), 0.9)
    assert table.index.tolist() == ["b", "a", "once"]
    assert table["n"].tolist() == [3, 2, 1]
    assert table["mean"].tolist() == pytest.approx([92, 82, 50])
    assert table["sd"].tolist() == pytest.approx([2, math.sqrt(8), NAN], nan_ok=True)
    right = {"b": [450, 460, 470], "a": [400, 420]}
    own = {name: [math.log((k + 0.5) / (500.5 - k)) for k in counts] for name, counts in right.items()}
    squares = sum((x - sum(found) / len(found)) ** 2 for found in own.values() for x in found)
    for name, found in own.items():
        width = stats.t.ppf(0.95, 3) * math.sqrt(squares / 3 / len(found))
        for column, sign in (("low", -1), ("high", 1)):
            end = sum(found) / len(found) + sign * width
            expected = 100 * (501 / (1 + math.exp(-end)) - 0.5) / 500
            assert table.loc[name, column] == pytest.approx(expected)
    assert table.loc["once", ["low", "high"]].isna().all()


def test_the_number_of_images_is_the_least_of_a_group_and_a_thousand_where_unknown():
    rows = [("a", 0, 90.0), ("a", 1, 91.0), ("b", 0, 92.0), ("b", 1, 92.5)]
    found = samples(frame_of(rows, images=[500, 400, NAN, NAN]), "configuration", "test_top1")
    assert found.images.to_dict() == {"a": 400, "b": 1000}
    assert found.logits[0, 0] == pytest.approx(math.log(360.5 / 40.5))
    assert samples(frame_of(rows), "configuration", "test_top1").images.tolist() == [1000, 1000]


def test_chosen_groups_keep_the_spread_of_all():
    rows = [
        (name, seed, top1)
        for name, own in {"a": [90, 91], "b": [50, 70], "c": [80, 81]}.items()
        for seed, top1 in enumerate(own)
    ]
    whole = samples(frame_of(rows, images=[200] * 6), "configuration", "test_top1")
    part = whole.chosen(iter(["c", "a"]))
    assert part.percent.to_numpy().tolist() == [[80, 81], [90, 91]] and part.percent.index.tolist() == ["c", "a"]
    assert part.images.index.tolist() == ["c", "a"]
    assert part.spread == whole.spread and part.spread.freedom == 3
    assert part.logits == pytest.approx(whole.logits[[2, 0]])


def test_images_are_unknown_without_data_or_where_their_file_is_damaged(tmp_path):
    (tmp_path / "damaged.safetensors").write_bytes(b"\0" * 40)
    frame = frame_of([("a", 0, 90.0)] * 2, images=[500] * 2)
    assert image_counts(frame, "validation_top1").isna().all()
    assert image_counts(frame, "test_top5").tolist() == [500, 500]
    without = frame.drop(columns="images").assign(**{"folder.prepare": [str(tmp_path / "damaged.safetensors"), None]})
    assert image_counts(without, "test_top1").isna().tolist() == [True, True]


@pytest.mark.parametrize(("effect", "n"), [(0.2, 393), (0.5, 64), (0.8, 26), (1.0, 17), (1.4, 9)])
def test_repeats_are_those_of_cohens_tables(effect, n):
    """Cohen 1988, table 2.4.1: two groups, two-sided 5 %, power 0.8."""
    assert repeats((effect, 0.0), 1.0, 10_000, 2, 1, 1e-3) == pytest.approx(n, abs=1)
    assert repeats((0.0, effect), 1.0, 10_000, 2, 1, 1e-3) == repeats((effect, 0.0), 1.0, 10_000, 2, 1, 1e-3)


def searched(pair, sd, images, groups, compared, margin):
    """The fewest repeats, one number after the other."""
    bounds = {level: dunnett.critical([math.sqrt(0.5)] * compared, 10**6, level) for level in (0.95, 0.9)}
    first, second = percents(np.array(pair), images)
    error = math.hypot(first * (100 - first), second * (100 - second)) / 100 * sd
    freedom = groups * np.arange(1000)[1:]
    outer, inner = (stats.t.ppf(stats.norm.cdf(bounds[level]), freedom) for level in (0.95, 0.9))
    power = stats.t.ppf(0.8, freedom)
    for n in range(2, 1001):
        told = abs(pair[0] - pair[1]) >= (outer[n - 2] + power[n - 2]) * sd * math.sqrt(2 / n)
        alike = margin - abs(first - second) >= (inner[n - 2] + 1.2815515655446004) * error / math.sqrt(n)
        if told or alike:
            return n
    return None


@pytest.mark.parametrize("compared", [1, 5])
@pytest.mark.parametrize(
    ("pair", "sd", "margin"),
    [
        ((3.5, 3.0), 0.3, 0.1),
        ((3.02, 3.0), 0.3, 1.0),
        ((2.0, 2.05), 0.2, 2.0),
        ((3.5, 3.5), 0.3, 0.5),
        ((3.5, 3.4), 0.25, 0.35),
        ((9.0, 0.0), 0.1, 0.5),
        ((3.001, 3.0), 0.5, 0.06),
    ],
)
def test_repeats_are_the_fewest_that_resolve(pair, sd, margin, compared):
    found = repeats(pair, sd, 360, 2 + compared, compared, margin)
    assert found == searched(pair, sd, 360, 2 + compared, compared, margin)


def test_more_than_a_thousand_repeats_are_none():
    last = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * math.sqrt(2 / 1000)
    assert repeats((1.0003 * last, 0.0), 1.0, 10_000, 10**6, 1, 1e-3) == 1000
    assert repeats((0.999 * last, 0.0), 1.0, 10_000, 10**6, 1, 1e-3) is None


def bounds_by_looking(middle, radii, images, steps=40_000):
    """Extremes of the difference over the ellipse's border, looked for in small steps."""
    angles = np.linspace(0, 2 * math.pi, steps)
    apart = percents(middle[0] + radii[0] * np.cos(angles), images[0]) - percents(
        middle[1] + radii[1] * np.sin(angles), images[1]
    )
    return apart.min(), apart.max()


@pytest.mark.parametrize("images", [(360, 360), (200, 10_000)])
def test_bounds_in_points_are_the_extremes_of_the_ellipse(images):
    middle, radii = np.array([3.4, 2.9]), np.array([0.3, 0.5])
    found = significance.points(middle, radii, np.array(images))
    assert found == pytest.approx(bounds_by_looking(middle, radii, images), abs=1e-3)
    assert found[0] < 0 < found[1]


@pytest.mark.parametrize("damage", [((NAN, 3.0), (1.0, 1.0)), ((3.0, 3.0), (NAN, 1.0)), ((3.0, 3.0), (0.0, 0.0))])
def test_there_are_no_bounds_without_logits_or_without_spread(damage):
    assert all(map(math.isnan, significance.points(*map(np.array, damage), np.array([360, 360]))))


GROUPS = np.array(
    [[3.0, 3.2, 2.9, 3.1], [3.6, 3.5, 3.8, NAN], [3.0, 3.3, NAN, NAN], [2.0, NAN, NAN, NAN], [2.6, 2.4, 2.5, 2.7]]
)
IMAGES = np.array([360, 400, 360, 360, 500])


@pytest.mark.parametrize("control", [4, 2])
def test_differences_of_a_shared_spread_are_dunnetts(control):
    kept = [row[~np.isnan(row)] for row in GROUPS]
    found = significance.differences(GROUPS, IMAGES, control, spread(GROUPS))
    tested = [k for k in (0, 1, 2, 4) if k != control]
    freedom = sum(len(own) - 1 for own in kept)
    sd = math.sqrt(sum(((own - own.mean()) ** 2).sum() for own in kept) / freedom)
    assert freedom == 9
    loads = [math.sqrt(len(kept[k]) / (len(kept[k]) + len(kept[control]))) for k in tested]
    t = [
        (kept[k].mean() - kept[control].mean()) / (sd * math.sqrt(1 / len(kept[k]) + 1 / len(kept[control])))
        for k in tested
    ]
    assert found.p[tested] == pytest.approx(dunnett.p_values(np.array(t), loads, 9))
    for level, low, high in ((0.95, found.low, found.high), (0.9, found.inner_low, found.inner_high)):
        bound = dunnett.critical(loads, 9, level)
        for k in tested:
            pair = [k, control]
            radii = [bound * sd / math.sqrt(len(kept[j])) for j in pair]
            middle = [kept[j].mean() for j in pair]
            expected = bounds_by_looking(middle, radii, IMAGES[pair])
            assert (low[k], high[k]) == pytest.approx(expected, abs=1e-3)
    assert all(np.isnan(column[[3, control]]).all() for column in found)


def test_differences_of_own_spreads_are_welchs():
    kept = [row[~np.isnan(row)] for row in GROUPS]
    refused = Spread(0.2, 9, False, 0.01)
    found = significance.differences(GROUPS, IMAGES, 0, refused)
    tested = [1, 2, 4]
    tests = [stats.ttest_ind(kept[k], kept[0], equal_var=False) for k in tested]
    assert found.p[tested] == pytest.approx(significance.holm([test.pvalue for test in tests]))
    for level, low, high in ((0.95, found.low, found.high), (0.9, found.inner_low, found.inner_high)):
        for k, test in zip(tested, tests, strict=True):
            bound = stats.t.ppf(1 - (1 - level) / 3 / 2, test.df)
            pair = [k, 0]
            radii = [bound * stats.sem(kept[j]) for j in pair]
            expected = bounds_by_looking([kept[j].mean() for j in pair], radii, IMAGES[pair])
            assert (low[k], high[k]) == pytest.approx(expected, abs=1e-3)
    assert all(np.isnan(column[[0, 3]]).all() for column in found)


def test_of_a_control_of_one_value_no_difference_is_known():
    found = significance.differences(GROUPS, IMAGES, 3, spread(GROUPS))
    assert np.isnan(np.array(found)).all() and np.array(found).shape == (5, 5)


def test_groups_without_spread_do_not_count_as_tests():
    """Of two groups that equal each other in nothing but their lack of spread, one comparison is left."""
    values = np.array([[3.0, 3.0, 3.0], [3.5, 3.5, 3.5], [2.0, 2.5, 3.1]])
    found = significance.differences(values, np.full(3, 360), 0, Spread(0.3, 6, False, 0.01))
    assert math.isnan(found.p[1]) and math.isnan(found.low[1])
    assert found.p[2] == pytest.approx(stats.ttest_1samp(values[2], 3.0).pvalue)
    bound = stats.t.ppf(0.975, 2)
    expected = bounds_by_looking([values[2].mean(), 3.0], [bound * stats.sem(values[2]), 0], (360, 360))
    assert (found.low[2], found.high[2]) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("equal", [True, False])
def test_worse_than_the_best_is_a_corrected_test_of_two_means(equal):
    found = spread(GROUPS)._replace(equal=equal)
    kept = [row[~np.isnan(row)] for row in GROUPS]
    p = []
    for own in kept:
        if len(own) < 2:
            p.append(1.0)
        elif equal:
            t = (own.mean() - kept[1].mean()) / (found.sd * math.sqrt(1 / len(own) + 1 / 3))
            p.append(2 * stats.t.cdf(t, found.freedom))
        else:
            test = stats.ttest_ind(own, kept[1], equal_var=False)
            p.append(test.pvalue if own.mean() < kept[1].mean() else 1.0)
    for pairs in (1, 3, 6, 50):
        expected = [own * pairs < 0.05 for own in p]
        expected[1] = False
        told = significance.worse_than(GROUPS, 1, found, pairs)
        # One value borrows the spread that all share; callers leave such groups out.
        assert told[[0, 1, 2, 4]].tolist() == [expected[k] for k in (0, 1, 2, 4)]


@pytest.mark.parametrize("images", [8, 360])
def test_logits_by_hand(images):
    assert logits(50.0, images) == pytest.approx(0)
    assert logits(100.0, images) == pytest.approx(math.log((images + 0.5) / 0.5))
    assert logits(25.0, images) == pytest.approx(math.log((images / 4 + 0.5) / (0.75 * images + 0.5)))
    assert logits([-5.0, 105.0], images) == pytest.approx(logits([0.0, 100.0], images))
    assert percents(math.log((images / 4 + 0.5) / (0.75 * images + 0.5)), images) == pytest.approx(25)
