"""Accuracies as logits, where the spread over seeds is nearly the same from 80 to 99 %, and back.

Half an image is added to the right ones and to the wrong ones, so that an accuracy of 100 % is finite too (Haldane
1956).
"""

import numpy as np

FEW = 1000
"""Images of an accuracy whose number nothing tells; it matters within a few images of 0 and 100 % alone."""


def logits(percent: np.ndarray, images: np.ndarray | float) -> np.ndarray:
    """log((right + ½) / (wrong + ½)) of accuracies in percent of so many images."""
    right = np.clip(np.asarray(percent, dtype=float), 0, 100) * images / 100
    return np.log((right + 0.5) / (images - right + 0.5))


def percents(values: np.ndarray, images: np.ndarray | float) -> np.ndarray:
    """Accuracies in percent from logits, clipped to 0 and 100.

    A logit counts half an image more on either side, so that its exact inverse can lie beyond these.
    """
    values = np.asarray(values, dtype=float)
    right = (images + 1) / (1 + np.exp(-values)) - 0.5
    return np.clip(100 * right / images, 0, 100)
