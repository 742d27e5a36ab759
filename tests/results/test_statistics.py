"""Spread, intervals, Dunnett's test and power, held to scipy and to studies whose truth is known."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from espalier.data.prepared import Dataset, write
from espalier.metrics import correct
from espalier.results.compare import dunnett, other_images
from espalier.results.compare.logits import logits, percents
from espalier.results.compare.repeats_needed import repeats
from espalier.results.compare.samples import by_seed, image_counts, samples
from espalier.results.compare.significance import differences, points
from espalier.results.compare.spread import brown_forsythe, spread
from espalier.results.compare.statistics import estimate, estimates, half_width
from espalier.runs.columns import write_rows
from support import pooled_intervals as expected
from support import simulated_studies as simulated
from support.sealed import seal

NAN = float("nan")


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


@pytest.mark.parametrize("images", [16, 360, 10_000])
def test_logits_lead_back_and_never_out_of_the_scale(images):
    accuracies = 100 * np.arange(images + 1) / images
    found = logits(accuracies, images)
    assert np.isfinite(found).all() and (np.diff(found) > 0).all()
    assert percents(found, images) == pytest.approx(accuracies)
    assert percents([-99.0, 99.0], images).tolist() == [0, 100]


def frame_of(values, images=360):
    rows = [(name, seed, value, images) for name, own in values.items() for seed, value in enumerate(own)]
    return pd.DataFrame(rows, columns=["configuration", "seed", "test_top1", "images"])


DRAWN = {
    "equal": (0.3, 0.3, 0.3, 0.3, 0.3),
    "unequal": (0.02, 0.02, 1.0, 0.02, 0.02),
}


@pytest.mark.parametrize("spreads", DRAWN)
def test_intervals_share_a_spread_unless_it_is_refused(spreads):
    generator = np.random.default_rng(1)
    values = {
        name: percents(generator.normal(3.5, sd, 8), 360) for name, sd in zip("bacde", DRAWN[spreads], strict=True)
    }
    found = samples(frame_of(values), "configuration", "test_top1")
    table = estimates(found)
    assert list(table.index) == [*"bacde"]
    assert found.spread.equal == (spreads == "equal")
    for (_, row), own, ends in zip(table.iterrows(), values.values(), expected.intervals(values.values()), strict=True):
        assert row.tolist() == pytest.approx([8, own.mean(), own.std(ddof=1), *ends])


def test_no_interval_leaves_the_scale():
    """97.06 to 100.53 was printed of three accuracies whose mean is 98.8."""
    values = {"a": [98.06, 99.44, 98.89], "b": [100.0, 99.72, 100.0], "c": [0.0, 0.28, 0.0], "once": [99.0]}
    table = estimates(samples(frame_of(values), "configuration", "test_top1"))
    assert table[["low", "high"]].drop("once").stack().between(0, 100).all()
    assert (table["low"] <= table["mean"]).drop("once").all() and (table["mean"] <= table["high"]).drop("once").all()
    assert table.loc["once", ["sd", "low", "high"]].isna().all() and table.loc["once", "n"] == 1


def test_the_unit_of_repetition_is_the_seed():
    """Six variants of three networks are three values."""
    generator = np.random.default_rng(0)
    network = {seed: generator.normal(97, 1) for seed in range(3)}
    rows = [("a", variant, seed, network[seed] + variant / 10) for variant in range(6) for seed in range(3)]
    frame = pd.DataFrame(rows, columns=["label", "configuration", "seed", "test_top1"])
    table = by_seed(frame, "label", "test_top1")
    assert table.loc["a"].tolist() == pytest.approx([value + 0.25 for value in network.values()])
    assert estimates(samples(frame, "label", "test_top1")).loc["a", "n"] == 3
    # A seed of which one variant is missing would be a mean of other things.
    frame.loc[(frame["configuration"] == 2) & (frame["seed"] == 1), "test_top1"] = NAN
    assert by_seed(frame, "label", "test_top1").loc["a"].isna().tolist() == [False, True, False]
    # A variant that has no result yet is left out of all seeds alike.
    frame.loc[frame["configuration"] == 2, "test_top1"] = NAN
    assert by_seed(frame, "label", "test_top1").loc["a", 1] == pytest.approx(network[1] + 0.26)


def test_images_are_those_of_the_split(tmp_path):
    import torch

    sizes = {"train": 8, "validation": 3, "test": 5}
    splits = dict(zip(sizes, torch.arange(16).split([*sizes.values()]), strict=True))
    images, labels = torch.zeros(16, 3, 4, 4, dtype=torch.uint8), torch.arange(16) % 2
    write(tmp_path / "data.safetensors", Dataset(images, labels, splits, ("a", "b")), {})
    frame = pd.DataFrame(
        {"folder.prepare": [str(tmp_path / "data.safetensors"), str(tmp_path / "gone")], "images": 5.0}
    )
    assert image_counts(frame, "test_top1").tolist() == [5, 5]
    assert image_counts(frame, "validation_top1").fillna(-1).tolist() == [3, -1]


@pytest.mark.parametrize(("groups", "n"), [(2, 3), (5, 3), (19, 3), (4, 10)])
def test_brown_forsythe_is_scipys(groups, n):
    values = np.random.default_rng(groups).normal(0, np.linspace(1, 3, groups)[:, None], (groups, n))
    assert brown_forsythe(values) == pytest.approx(stats.levene(*values, center="median").pvalue)
    ragged = [*values, values[0, :2]]
    padded = np.array([np.pad(own, (0, n - len(own)), constant_values=NAN) for own in ragged])
    # Two values have two equal distances from their median: they would make the others look unequal.
    assert brown_forsythe(padded) == pytest.approx(brown_forsythe(values))
    assert spread(padded).freedom == groups * (n - 1) + 1


@pytest.mark.parametrize(("groups", "n", "control"), [(1, 3, 3), (3, 3, 3), (8, 5, 3), (18, 3, 3), (6, 2, 10)])
def test_dunnett_is_scipys(groups, n, control):
    generator = np.random.default_rng(groups)
    others, base = generator.normal(0, 1, (groups, n)), generator.normal(0, 1, control)
    freedom, loads = groups * (n - 1) + control - 1, [math.sqrt(n / (n + control))] * groups
    found = stats.dunnett(*others, control=base, rng=np.random.default_rng(0))
    assert dunnett.p_values(found.statistic, loads, freedom) == pytest.approx(found.pvalue, abs=1e-3)
    sd = math.sqrt(sum(own.var(ddof=1) * (len(own) - 1) for own in [*others, base]) / freedom)
    bound = dunnett.critical(loads, freedom, 0.95) * sd * math.sqrt(1 / n + 1 / control)
    interval = found.confidence_interval(0.95)
    assert 2 * bound == pytest.approx((interval.high - interval.low)[0], rel=3e-3)


@pytest.mark.parametrize("freedom", [2, 6, 38, 1000])
def test_of_one_comparison_dunnetts_bound_is_students(freedom):
    assert dunnett.critical([math.sqrt(0.5)], freedom, 0.95) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-3)


@pytest.mark.parametrize("radii", [(0.2, 0.2), (0.1, 0.4), (0.3, 0.0)])
def test_bounds_in_points_hold_zero_where_logits_may_be_equal(radii):
    radii, apart = np.array(radii), np.hypot(*radii)
    for factor in (0.98, 1.02):
        low, high = points(np.array([3.0 + factor * apart, 3.0]), radii, np.array([360, 360]))
        assert (low > 0) == (factor > 1) and high > 0
    low, high = points(np.array([5.0, -5.0]), 9 * np.ones(2), np.array([360, 360]))
    assert -100 <= low < high <= 100


def test_a_few_images_more_are_the_interval_of_others():
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(2000):
        # True difference of two networks: 3 of 100 images alone, 1 of 100 the other way.
        kind = generator.random(360)
        first, second = (kind < 0.95).astype(float), ((kind < 0.92) | (kind > 0.99)).astype(float)
        low, high = other_images.interval(first, second)
        covered.append(low <= 2.0 <= high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)
    assert other_images.interval(np.ones(4), np.zeros(4))[1] <= 100


def test_images_of_other_data_are_not_compared():
    right = np.ones(10)
    found = other_images.intervals({0: ("a", right), 1: ("a", right), 2: ("b", right)}, 0)
    assert list(found) == [1]
    assert other_images.intervals({}, 0) == {}


@pytest.mark.parametrize(("apart", "margin"), [(0.5, 0.01), (0.0, 1.0)])
def test_so_many_repeats_resolve_it_as_often_as_power_says(apart, margin):
    """A difference of half a logit, and none that is to be shown to lie within a point."""
    setting = replace(simulated.SETTINGS["CIFAR-10"], sd=(0.2, 0.2))
    middle, groups = math.log(97 / 3), 6
    needed = repeats((middle + apart, middle), 0.2, setting.images, groups, groups - 1, margin)
    assert 2 < needed < 60
    top1 = percents(np.full(groups, middle) + apart * (np.arange(groups) == 1), 10**9)
    generator, told = np.random.default_rng(0), 0
    for _ in range(300):
        values = logits(simulated.drawn(setting, top1, needed, generator), setting.images)
        found = differences(values, np.full(groups, setting.images), 0, spread(values))
        told += found.p[1] < 0.05 if apart else found.inner_low[1] >= -margin and found.inner_high[1] <= margin
    assert 0.74 < told / 300 < 0.92


@pytest.mark.parametrize("repeats", simulated.REPEATS)
@pytest.mark.parametrize("name", ["digits", "CIFAR-10"])
def test_verdicts_err_as_seldom_as_they_say(name, repeats):
    found = simulated.errors(simulated.SETTINGS[name], repeats, tables=400)
    # 6 % and two standard errors; the slow test has more tables.
    assert found["family"] <= 0.06 + 2 * math.sqrt(0.06 * 0.94 / 400)
    assert 0.93 <= found["coverage"] <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("repeats", simulated.REPEATS)
@pytest.mark.parametrize("name", ["digits", "CIFAR-10"])
def test_verdicts_err_as_seldom_as_they_say_in_many_tables(name, repeats):
    found = simulated.errors(simulated.SETTINGS[name], repeats, tables=5000)
    assert found["family"] <= 0.06 and 0.93 <= found["coverage"] <= 0.97


@pytest.mark.parametrize(("top1", "compared"), [(97.0, 1), (98.0, 3), (98.5, 18)])
def test_three_points_are_found_by_three_repeats_of_360_images(top1, compared):
    setting = replace(simulated.SETTINGS["digits"], top1=top1)
    assert simulated.power(setting, -3.0, 3, tables=400, compared=compared) >= 0.8


def test_the_simulation_decides_as_the_tables_do():
    generator = np.random.default_rng(0)
    setting = replace(simulated.SETTINGS["digits, 0.13 to 0.56"])
    refused = 0
    for _ in range(20):
        accuracies = simulated.drawn(setting, np.linspace(95, 98, 6), 10, generator)
        values = logits(accuracies, setting.images)
        found = spread(values)
        refused += not found.equal
        p = differences(values, np.full(6, setting.images), 0, found).p
        assert simulated.told_apart(values, found).tolist() == (p[1:] < 0.05).tolist()
    assert 0 < refused < 20


def test_answers_of_folds_are_laid_one_after_the_other(tmp_path, monkeypatch):
    """Repeats of one fold are averaged; those of another are of other images."""
    told = {"a0": (1, 0, 1), "a1": (1, 1, 1), "b0": (0, 1, 0, 1)}
    rows = [("a0", "fold-a"), ("a1", "fold-a"), ("b0", "fold-b")]
    frame = pd.DataFrame([{"configuration": 0, "run.prepare": data, "run.evaluate": run} for run, data in rows])
    study = {"runs": {}}
    for run, right in told.items():
        folder = tmp_path / f"evaluate-{run}"
        folder.mkdir()
        (folder / correct.FILE).write_bytes(correct.packed(np.array(right)))
        write_rows(folder / "metrics.csv", ("images",), [{"images": len(right)}])
        seal(folder, "evaluate")
        study["runs"][run] = {"path": str(folder)}
    ((data, found),) = other_images.answers(frame, study).values()
    assert data == ("fold-a", "fold-b") and found.tolist() == [1, 0.5, 1, 0, 1, 0, 1]
