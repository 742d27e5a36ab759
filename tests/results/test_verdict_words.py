"""What is said of every group, word by word, and the first places."""

import math

import numpy as np
import pandas as pd

from espalier.results.compare import significance, verdicts
from espalier.results.compare.samples import samples

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
