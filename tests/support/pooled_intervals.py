"""Intervals of accuracies over seeds, computed apart from the library: scipy's t and Levene's test on logits."""

import numpy as np
from scipy import stats


def logits(percent, images=360):
    right = np.asarray(percent) * images / 100
    return np.log((right + 0.5) / (images - right + 0.5))


def percents(values, images=360):
    return np.clip(100 * ((images + 1) / (1 + np.exp(-np.asarray(values))) - 0.5) / images, 0, 100)


def intervals(groups, images=360):
    """(low, high) of every group of accuracies, of two or more each."""
    found = [logits(group, images) for group in groups]
    freedom = sum(len(values) - 1 for values in found)
    pooled = np.sqrt(sum(values.var(ddof=1) * (len(values) - 1) for values in found) / freedom)
    equal = len(found) < 2 or stats.levene(*found, center="median").pvalue >= 0.05
    ends = []
    for values in found:
        sd, own = (pooled, freedom) if equal else (values.std(ddof=1), len(values) - 1)
        ends.append(percents(stats.t.interval(0.95, own, values.mean(), sd / np.sqrt(len(values))), images))
    return ends
