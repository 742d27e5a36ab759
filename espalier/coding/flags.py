"""Which rows and channels of a tensor are not all zero, coded beside those of a tensor before it."""

import numpy as np

from espalier.coding.adaptive_models import Bits, blocks
from espalier.coding.range_coder import Coder
from espalier.errors import Damaged


class Flags:
    """Which rows and channels of the tensors before were not all zero, by length: layers in a row share them."""

    def __init__(self) -> None:
        self._known: dict[int, list[np.ndarray]] = {}

    def add(self, levels: np.ndarray) -> None:
        """Remember a tensor's; `levels` is a matrix of rows, channels, taps."""
        channels = levels.shape[1]
        if not levels.size:
            return
        live = levels.any(2)
        for flags in (live.any(1), live.any(0))[: 1 if channels == 1 else 2]:
            self._known[len(flags)] = [flags, *self._known.get(len(flags), ())[:7]]

    def beside(self, flags: np.ndarray) -> int:
        """The number of the most similar vector, or 0."""
        known = self._known.get(len(flags), [])
        differences = [min(int(flags.sum()), len(flags) - int(flags.sum())), *((flags ^ one).sum() for one in known)]
        return int(np.argmin(differences))

    def get(self, length: int, number: int) -> np.ndarray:
        """A vector by its number.

        Raises:
            Damaged: there is none.
        """
        if number == 0:
            return np.zeros(length, bool)
        known = self._known.get(length, [])
        if not 0 < number <= len(known):
            raise Damaged(f"a tensor refers to flags {number} of length {length}, which are not there")
        return known[number - 1]


def code(coder: Coder, beside: np.ndarray, flags: np.ndarray | None) -> np.ndarray:
    """Code booleans, each with the rate of those that stand beside an equal one."""
    models = Bits(1, 1, 0), Bits(1, 1, 0)
    found = np.zeros(len(beside), bool)
    for start, stop in blocks(len(beside)):
        for other, model in zip((False, True), models, strict=True):
            at = start + np.flatnonzero(beside[start:stop] == other)
            found[at] = model.code(coder, at, at, None if flags is None else flags[at])
    return found
