"""What is said of every group, word by word, and the first places."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from espalier.results.compare import significance, verdicts
from espalier.results.compare.repeats_needed import repeats
from espalier.results.compare.samples import samples
from espalier.results.compare.spread import each, means

NAN = float("nan")


def sampled(values, images=360):
    """Samples of groups, name → accuracies in percent by seed."""
    rows = [(name, seed, value, images) for name, own in values.items() for seed, value in enumerate(own)]
    frame = pd.DataFrame(rows, columns=["configuration", "seed", "test_top1", "images"])
    return samples(frame, "configuration", "test_top1")


def of_images(*right, images=360):
    return [100 * count / images for count in right]


QUIET = {
    f"quiet {k}": of_images(*counts) for k, counts in enumerate(np.random.default_rng(0).integers(345, 353, (17, 3)))
}
"""Groups that differ by little, in means and in spread."""


def test_a_verdict_never_contradicts_the_accuracies_beside_it():
    """One bad seed of three: the mean accuracy is below the baseline's, the mean logit above it."""
    odd = of_images(360, 360, 314)
    found = sampled({"base": of_images(349, 350, 348), "odd": odd} | QUIET)
    row = verdicts.against(found, "base", 0.5).loc["odd"]
    assert found.spread.equal and row["p"] < 0.05 and row["difference"] < 0 < row["low"]
    assert (row["verdict"], math.isnan(row["repeats"])) == ("not resolved", True)
    turned = verdicts.against(found.chosen(["base", "odd"]), "odd", 0.5).loc["base"]
    assert turned["p"] < 0.05 and turned["difference"] > 0 > turned["high"]
    assert turned["verdict"] == "not resolved"
    # Nor is it equivalent within a margin that holds the interval.
    assert verdicts.against(found, "base", 50).loc["odd", "verdict"] == "not resolved"


def test_what_lies_outside_the_margin_is_not_equivalent():
    """Mean logits are alike within 3 points, and tell nothing of the seed that lost 15."""
    many = {f"{name} {k}": own for k in range(5) for name, own in QUIET.items()}
    found = sampled({"base": of_images(349, 349, 349), "odd": of_images(354, 354, 302)} | many)
    control, place = 0, 1
    told = significance.differences(found.logits, found.images.to_numpy(float), control, found.spread)
    row = verdicts.against(found, "base", 3.0).loc["odd"]
    assert told.inner_low[place] >= -3 and told.inner_high[place] <= 3 and row["p"] > 0.05
    assert row["difference"] < -3 and row["verdict"] == "not resolved"
    assert verdicts.against(found, "base", 5.0).loc["odd", "verdict"] == "equivalent"


def logit(percent, images=360):
    right = np.asarray(percent) * images / 100
    return np.log((right + 0.5) / (images - right + 0.5))


@pytest.fixture(scope="module")
def judged():
    """Groups of every kind, and the table within 1.5 points."""
    values = {
        "up": of_images(355, 356, 355, 357),
        "base": of_images(340, 341, 342, 339),
        "down": of_images(300, 302, 299, 303),
        "open": of_images(343, 345, 346),
        "once": of_images(341),
        "never": [NAN],
        "same": of_images(339, 341, 343, 339),
    }
    found = sampled(values)
    return found, verdicts.against(found, "base", 1.5, {"up": (1.5, 4.5), "once": (-1.0, 1.0)})


def test_every_group_has_its_word(judged):
    found, data = judged
    assert data.index.tolist() == found.percent.index.tolist()
    assert tuple(data.columns) == (
        "difference",
        "low",
        "high",
        "p",
        "images_low",
        "images_high",
        "repeats",
        "verdict",
    )
    needed = data.loc["open", "repeats"]
    assert data["verdict"].to_dict() == {
        "up": "better",
        "base": "baseline",
        "down": "worse",
        "open": f"not resolved: {needed:.0f} repeats would",
        "once": "n < 2: no verdict",
        "never": "n < 2: no verdict",
        "same": "equivalent",
    }
    assert data["repeats"].notna().to_dict() == dict.fromkeys(data.index, False) | {"open": True}
    assert data[["images_low", "images_high"]].dropna().T.to_dict("list") == {"up": [1.5, 4.5], "once": [-1.0, 1.0]}
    of_base = sum((340, 341, 342, 339)) / 4 / 3.6
    expected = {"up": 355.75 / 3.6 - of_base, "down": 301 / 3.6 - of_base, "open": 1034 / 3 / 3.6 - of_base}
    for name, apart in expected.items():
        assert data.loc[name, "difference"] == pytest.approx(apart)
    assert data.loc["once", "difference"] == pytest.approx(341 / 3.6 - of_base)
    assert data.loc[["base", "never"], "difference"].isna().all()
    told = significance.differences(found.logits, np.full(7, 360.0), 1, found.spread)
    for column in ("low", "high", "p"):
        assert data[column].tolist() == pytest.approx(getattr(told, column).tolist(), nan_ok=True)


def test_repeats_are_those_of_the_spread_and_the_groups_that_share_it(judged):
    found, data = judged
    own = each(found.logits)[1]
    # 3 + 3 + 3 + 2 + 3 degrees of freedom are of five groups of four seeds, nearly; four of them are compared.
    assert found.spread.freedom == 14
    pair = tuple(means(found.logits)[[3, 1]])
    expected = repeats(pair, found.spread.sd, 360, 5, 4, 1.5)
    assert expected > 4 and data.loc["open", "repeats"] == expected
    refused = replace(found, spread=found.spread._replace(equal=False))
    row = verdicts.against(refused, "base", 1.0).loc["open"]
    sd = math.sqrt((own[1] ** 2 + own[3] ** 2) / 2)
    assert row["repeats"] == max(4, repeats(pair, sd, 360, 2, 4, 1.0))


def test_groups_that_share_a_spread_are_counted_by_their_seeds():
    """Six degrees of freedom are three groups of three seeds, or six of two."""
    found = sampled({"base": of_images(340, 341, 343), "open": of_images(343, 344, 347), "c": of_images(341, 342, 344)})
    pair = tuple(means(found.logits)[[1, 0]])
    three, six = (repeats(pair, found.spread.sd, 360, groups, 2, 0.5) for groups in (3, 6))
    assert three > six > 3
    assert verdicts.against(found, "base", 0.5).loc["open", "repeats"] == three


def test_more_repeats_are_asked_for_than_there_were():
    """What two seeds did not tell, two do not tell, though the power of pooled spreads says so."""
    found = sampled({"base": of_images(*(340, 341) * 5), "two": of_images(331, 333)})
    found = replace(found, spread=found.spread._replace(equal=False))
    sd = math.sqrt((each(found.logits)[1] ** 2).mean())
    assert repeats(tuple(means(found.logits)), sd, 360, 2, 1, 0.5) == 2
    row = verdicts.against(found, "base", 0.5).loc["two"]
    assert (row["verdict"], row["repeats"]) == ("not resolved: 3 repeats would", 3)


def test_over_a_thousand_repeats_are_no_number():
    found = sampled({"base": of_images(340, 350, 345), "near": of_images(350, 341, 345)})
    row = verdicts.against(found, "base", 0.01).loc["near"]
    assert row["verdict"] == "not resolved: over 1,000 repeats would" and math.isnan(row["repeats"])


def test_a_group_is_equivalent_up_to_the_margin_itself(judged):
    found, _ = judged
    told = significance.differences(found.logits, np.full(7, 360.0), 1, found.spread)
    upper = told.inner_high[6]
    assert 0 < -told.inner_low[6] < upper
    words = [verdicts.against(found, "base", upper + step).loc["same", "verdict"] for step in (0, -1e-6)]
    assert [word.partition(":")[0] for word in words] == ["equivalent", "not resolved"]
    # The other way round the lower end decides.
    turned = found.chosen(["same", "base"])
    told = significance.differences(turned.logits, np.full(2, 360.0), 0, found.spread)
    lower = -told.inner_low[1]
    assert 0 < told.inner_high[1] < lower
    words = [verdicts.against(turned, "same", lower + step).loc["base", "verdict"] for step in (0, -1e-6)]
    assert [word.partition(":")[0] for word in words] == ["equivalent", "not resolved"]


def test_of_a_baseline_of_one_seed_nothing_is_said():
    found = sampled({"base": of_images(340), "other": of_images(300, 301, 302)})
    data = verdicts.against(found, "base", 0.5)
    assert data["verdict"].tolist() == ["baseline", "n < 2: no verdict"]
    assert data["p"].isna().all() and data.loc["other", "difference"] == pytest.approx((301 - 340) / 3.6)


def test_without_a_baseline_only_images_are_told():
    found = sampled({"one": of_images(340), "two": of_images(300, 301)})
    for baseline in (None, "elsewhere"):
        data = verdicts.against(found, baseline, 0.5, {"two": (-1.0, 2.0)})
        assert data["verdict"].tolist() == ["n < 2: no verdict", "no baseline: no verdict"]
        assert data.loc["two", ["images_low", "images_high"]].tolist() == [-1, 2]
        assert data[["difference", "low", "high", "p", "repeats"]].isna().all(axis=None)


def test_spread_of_one_of_two_is_enough_for_a_verdict():
    found = sampled(
        {"base": of_images(340, 340, 340), "flat": of_images(341, 341, 341), "up": of_images(355, 356, 357)}
    )
    own = replace(found, spread=found.spread._replace(equal=False))
    assert verdicts.against(own, "base", 0.5)["verdict"].tolist() == ["baseline", "no spread: no verdict", "better"]


def test_a_caption_says_how_verdicts_come_about():
    assert verdicts.against_words(0.5) == (
        "Differences from the baseline are tested over seeds, on the logit scale with the spread of all "
        "configurations, by Dunnett's test; by Welch's, corrected after Holm, where spreads are not equal. Intervals "
        "and p are corrected for the rows of the table. Better and worse: p below 0.05; equivalent: surely within 0.5 "
        "points; not resolved: neither, and so many repeats would probably tell (power 0.8)."
    )
    assert "surely within 3 points" in verdicts.against_words(3.0)


def firsts(values, **changes):
    found = sampled(values)
    return verdicts.first_places(replace(found, spread=found.spread._replace(**changes)))


def test_first_places_are_lost_where_p_of_all_pairs_is_below_five_percent():
    values = {"best": of_images(355, 356, 354), "second": of_images(352, 350, 353), "last": of_images(330, 331, 329)}
    values["once"] = of_images(359)
    means_ = {name: logit(own).mean() for name, own in values.items()}
    # Three groups of two seeds or more are three pairs; t of two means of three values.
    for name in ("second", "last"):
        for factor, lost in ((0.98, True), (1.02, False)):
            t = stats.t.ppf(1 - 0.025 / 3, 6)
            sd = factor * (means_["best"] - means_[name]) / t / math.sqrt(2 / 3)
            found = firsts(values, sd=sd, freedom=6, equal=True)
            assert found["best"] == found["second"] or name == "second"
            if name == "second":
                assert found == {"best": True, "second": not lost, "last": False, "once": False}
            else:
                assert found == {"best": lost, "second": lost, "last": False, "once": False}


def test_two_groups_are_enough_for_a_first_place():
    values = {"low": of_images(300, 301), "high": of_images(350, 351)}
    assert firsts(values) == {"low": False, "high": True}
    assert firsts({"low": of_images(300, 301), "once": of_images(350)}) == {"low": False, "once": False}
    assert verdicts.first_places(sampled({"once": of_images(350)})) == {"once": False}
    # Equal means share it.
    tied = values | {"tied": of_images(351, 350)}
    assert firsts(tied) == {"low": False, "high": True, "tied": True}
