"""What symbols cost a range coder, without one: the anatomy of a file tells parts of one stream apart by it."""

import numpy as np

from espalier.coding.range_coder import LEAST, ONE


class Meter:
    """The methods of an encoder; `spent` is the sum of the bits that the symbols so far take."""

    def __init__(self) -> None:
        self.spent = 0.0

    def bits(self, p: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        p = np.maximum(p, LEAST) / ONE
        self.spent -= float(np.log2(np.where(symbols, p, 1 - p)).sum())
        return symbols

    def choices(self, weights: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        taken = np.take_along_axis(weights, symbols[:, None], 1)[:, 0]
        self.spent -= float(np.log2(taken / weights.sum(1)).sum())
        return symbols

    def alike(self, weights: np.ndarray, count: int, symbols: np.ndarray) -> np.ndarray:
        self.spent -= float(np.log2(weights[symbols] / weights.sum()).sum())
        return symbols

    def uniform(self, sizes: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        self.spent += float(np.log2(sizes).sum())
        return symbols
