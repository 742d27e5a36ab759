"""Whether two configurations differ by more than chance, and how many comparisons a table may make before one must.

Sources: Student 1908 (paired), Welch 1947 (unequal spreads), Holm 1979 (several comparisons).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from espalier.results.compare.statistics import LEVEL

ALPHA = 1 - LEVEL
"""Corrected p below which a difference is significant."""
_EXACT = 1e-9
"""Part of the largest value that rounding may leave where all differences are equal."""


class Difference(NamedTuple):
    """How much one sample lies over another; NaN where it cannot be told."""

    n: int
    """pairs; unpaired, the values of the smaller sample"""
    mean: float
    low: float
    high: float
    p: float
    """two-sided, of no difference; NaN also where the differences do not spread, and a t-test has no ground"""
    paired: bool


def difference(values: Mapping[int, float], reference: Mapping[int, float]) -> Difference:
    """`values` less `reference`, each seed → value: paired by seed where both have two seeds in common, else Welch's.

    Missing values are left out. Runs of one seed may share their split, their order of images or the network that they
    were pruned from, so that an unpaired test would take for chance what is common to both.
    """
    first = {seed: value for seed, value in values.items() if value == value}
    second = {seed: value for seed, value in reference.items() if value == value}
    common = [seed for seed in first if seed in second]
    if len(common) < 2 and min(len(first), len(second)) > 1:
        return welch(list(first.values()), list(second.values()))
    return paired([first[seed] for seed in common], [second[seed] for seed in common])


def paired(values: Sequence[float], reference: Sequence[float]) -> Difference:
    """Student's paired t-test: mean difference d ± t(n − 1) · sd(d) / √n."""
    first, second = np.asarray(values, dtype=float), np.asarray(reference, dtype=float)
    apart, n = first - second, len(first)
    if n < 2:
        return Difference(n, float(apart.mean()) if n else np.nan, np.nan, np.nan, np.nan, paired=True)
    sd = apart.std(ddof=1)
    return _tested(n, apart.mean(), sd / np.sqrt(n), n - 1, np.abs([first, second]).max(), is_paired=True)


def welch(values: Sequence[float], reference: Sequence[float]) -> Difference:
    """Welch's t-test of two independent samples of at least two values, degrees of freedom after Satterthwaite."""
    first, second = np.asarray(values, dtype=float), np.asarray(reference, dtype=float)
    parts = first.var(ddof=1) / len(first), second.var(ddof=1) / len(second)
    error, least = np.sqrt(sum(parts)), np.abs([*first, *second]).max()
    below = parts[0] ** 2 / (len(first) - 1) + parts[1] ** 2 / (len(second) - 1)
    freedom = sum(parts) ** 2 / below if below else np.nan
    n = min(len(first), len(second))
    return _tested(n, first.mean() - second.mean(), error, freedom, least, is_paired=False)


def _tested(n: int, mean: float, error: float, freedom: float, largest: float, *, is_paired: bool) -> Difference:
    # The functions behind scipy.stats.t, whose import would cost more than the whole table.
    from scipy.special import stdtr, stdtrit

    if error <= _EXACT * largest:
        # Accuracies are counts of images: equal differences are steps of the scale, no proof of certainty.
        same = abs(mean) <= _EXACT * largest
        return Difference(n, float(mean), np.nan, np.nan, 1.0 if same else np.nan, is_paired)
    width = stdtrit(freedom, (1 + LEVEL) / 2) * error
    p = 2 * stdtr(freedom, -abs(mean) / error)
    return Difference(n, float(mean), float(mean - width), float(mean + width), float(p), is_paired)


def holm(p: Sequence[float]) -> np.ndarray:
    """Corrected p values: the i-th smallest of m times m − i + 1, never less than one before it, at most 1.

    That one of m true null hypotheses is rejected has then at most the chance of one test. NaN are no tests and stay.
    """
    found = np.asarray(p, dtype=float)
    tested = np.flatnonzero(~np.isnan(found))
    order = tested[np.argsort(found[tested], kind="stable")]
    corrected = np.full(len(found), np.nan)
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * found[order]))
    return corrected
