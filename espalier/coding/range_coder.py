"""Range coding by constriction behind one interface, so that one model is run by both sides.

`Encoder` and `Decoder` have the same methods: each codes an array of symbols and returns it. What a model
knows of a symbol comes from what a method returned, so the sides cannot come apart. Probabilities reach constriction as
integers that a double holds exactly; it then only adds, multiplies and rounds by IEEE 754, alike on every machine.
"""

import numpy as np
from constriction import stream as coding

from espalier.errors import Damaged

ONE = 1 << 16
"""Probability 1."""
LEAST = 1 << 4
"""The least probability of a bit, 2^-12: a bit costs at least 1/2841 of a bit, so a stream holds few per byte."""
SYMBOLS_PER_BYTE = 1 << 15
"""More than a byte can hold at that probability; what a stream is said to hold is bounded by it."""

_WORD = np.dtype("<u4")


class Encoder:
    """Symbols to bytes."""

    def __init__(self) -> None:
        self._coder = coding.queue.RangeEncoder()

    def alike(self, weights: np.ndarray, count: int, symbols: np.ndarray) -> np.ndarray:
        """`count` symbols 0 .. n - 1, all of probabilities proportional to `weights` (n)."""
        self._coder.encode(symbols.astype(np.int32), _choice(weights))
        return symbols

    def finish(self) -> bytes:
        """All that was coded."""
        return self._coder.get_compressed().astype(_WORD).tobytes()


class Decoder:
    """Bytes to symbols.

    Raises:
        Damaged: the stream is no whole number of words, or no model can have made it.
    """

    def __init__(self, stream: bytes) -> None:
        if len(stream) % _WORD.itemsize:
            raise Damaged("a range coded stream is cut short")
        self._coder = coding.queue.RangeDecoder(np.frombuffer(stream, _WORD).astype(np.uint32))

    def alike(self, weights: np.ndarray, count: int, symbols: None = None) -> np.ndarray:
        try:
            return self._coder.decode(_choice(weights), count).astype(np.int64)
        except (AssertionError, ValueError) as error:
            raise Damaged(f"a range coded stream is damaged ({error})") from error


Coder = Encoder | Decoder


def _choice(weights: np.ndarray) -> coding.model.Categorical:
    return coding.model.Categorical(weights.astype(np.float64), perfect=False)
