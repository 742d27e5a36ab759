"""What can be said of a network by its probabilities on a split: the registered metrics.

A metric is a function of probabilities, float64 (n, classes) whose rows sum to one, and labels, int64 (n,). It gives
numbers, name → value; or, where it states the fact `columns`, rows of a small table. There the columns `class`, `label`
and `predicted` hold numbers of classes, which are written as names. Shares of images are in percent.
"""

from typing import Any

import numpy as np

from espalier.settings.registry import register
from espalier.settings.types import Bins, Counts

Numbers = dict[str, float]
Rows = list[dict[str, Any]]


@register("metric")
def top_k(probabilities: np.ndarray, labels: np.ndarray, *, k: Counts = (1, 5)) -> Numbers:
    """Images whose class is among the k likeliest, in percent; 100 where there are fewer classes than k.

    Args:
        k: values of k; one number is measured for each
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    found = order == labels[:, None]
    return {f"top{each}": 100 * float(found[:, :each].any(axis=1).mean()) for each in k}


@register("metric")
def nll(probabilities: np.ndarray, labels: np.ndarray) -> Numbers:
    """Negative log-likelihood of the labels in nats, a mean over images: a confident mistake costs most.

    A probability of zero counts as the smallest step of a float above it, 2.2e-16.
    """
    from sklearn.metrics import log_loss

    return {"nll": float(log_loss(labels, probabilities, labels=_classes(probabilities)))}


@register("metric")
def brier(probabilities: np.ndarray, labels: np.ndarray) -> Numbers:
    """Brier score: squared distance of the probabilities from the label, summed over the classes; 0 is perfect, 2 the
    worst (Brier 1950)."""
    from sklearn.metrics import brier_score_loss

    classes = _classes(probabilities)
    return {"brier": float(brier_score_loss(labels, probabilities, labels=classes, scale_by_half=False))}


@register("metric")
def ece(probabilities: np.ndarray, labels: np.ndarray, *, bins: Bins = 15) -> Numbers:
    """Expected calibration error: distance between confidence and top-1 in percent, a mean over bins of equal width,
    each weighted by its number of images (Guo et al. 2017).

    Args:
        bins: number of bins of the confidence
    """
    rows = [row for row in _calibrated(probabilities, labels, bins) if row["images"]]
    return {"ece": sum(row["images"] * abs(row["confidence"] - row["top1"]) for row in rows) / len(labels)}


@register("metric", columns=("low", "high", "images", "confidence", "top1"))
def calibration(probabilities: np.ndarray, labels: np.ndarray, *, bins: Bins = 15) -> Rows:
    """Images in bins of their confidence, of equal width, and the top-1 of each bin, for a reliability diagram.

    Args:
        bins: number of bins of the confidence, which is the probability of the likeliest class
    """
    return _calibrated(probabilities, labels, bins)


@register("metric", columns=("class", "precision", "recall", "f1", "images"))
def per_class(probabilities: np.ndarray, labels: np.ndarray) -> Rows:
    """Precision, recall and F1 of every class in percent, and its number of images; 0 where the divisor is 0."""
    from sklearn.metrics import precision_recall_fscore_support

    classes = _classes(probabilities)
    guessed = probabilities.argmax(axis=1)
    found = precision_recall_fscore_support(labels, guessed, labels=classes, zero_division=0)
    return [
        {
            "class": number,
            "precision": 100 * float(precision),
            "recall": 100 * float(recall),
            "f1": 100 * float(f1),
            "images": int(images),
        }
        for number, precision, recall, f1, images in zip(classes, *found, strict=True)
    ]


@register("metric", columns=("label", "predicted", "images"))
def confusion(probabilities: np.ndarray, labels: np.ndarray) -> Rows:
    """How many images of each class were taken for which class; pairs of classes that never occur are left out."""
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(labels, probabilities.argmax(axis=1), labels=_classes(probabilities))
    return [
        {"label": label, "predicted": predicted, "images": int(counts[label, predicted])}
        for label, predicted in np.argwhere((counts > 0) | np.eye(len(counts), dtype=bool)).tolist()
    ]


def _classes(probabilities: np.ndarray) -> list[int]:
    return list(range(probabilities.shape[1]))


def _calibrated(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> Rows:
    """A row a bin, in percent; the upper end belongs to a bin, and bins without images have neither mean."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    images = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, weights=values, minlength=bins) for values in (confidence, right))
    means = [[100 * total / count if count else "" for total, count in zip(each, images, strict=True)] for each in sums]
    return [
        {"low": 100 * low, "high": 100 * high, "images": int(count), "confidence": sure, "top1": top1}
        for low, high, count, sure, top1 in zip(edges[:-1], edges[1:], images, *means, strict=True)
    ]
