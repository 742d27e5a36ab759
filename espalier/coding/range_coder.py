"""Range coding by constriction behind one interface, so that one model is run by both sides.

`Encoder` and `Decoder` have the same methods: each codes an array of symbols and returns it. What a model knows of a
symbol comes from what a method returned, so the two sides cannot come apart. Probabilities reach constriction as
integers that a double holds exactly; it then only adds, multiplies and rounds by IEEE 754, alike on every machine.
"""

from importlib.util import find_spec

import numpy as np

from espalier.runs.checkpoint import Damaged

ONE = 1 << 16
"""Probability 1."""
LEAST = 1 << 4
"""The least probability of a bit, 2^-12: a bit costs at least 1/2841 of a bit, so a stream holds few per byte."""
SYMBOLS_PER_BYTE = 1 << 15
"""More than a byte can hold at that probability; what a stream is said to hold is bounded by it."""

_WORD = np.dtype("<u4")


def available() -> bool:
    """Whether constriction is installed."""
    return find_spec("constriction") is not None


class Encoder:
    """Symbols to bytes."""

    def __init__(self) -> None:
        from constriction import stream

        self._models = stream.model
        self._bernoulli = stream.model.Bernoulli(perfect=False)
        self._categorical = stream.model.Categorical(perfect=False)
        self._coder = stream.queue.RangeEncoder()

    def bits(self, p: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """Booleans that are true with probability `p` / ONE, an int64 each."""
        if p.size:
            self._coder.encode(symbols.astype(np.int32), self._bernoulli, np.maximum(p, LEAST) / ONE)
        return symbols

    def choices(self, weights: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """Symbols 0 .. n - 1, the row of each in `weights` (m, n) proportional to their probabilities."""
        if weights.shape[1] > 1 and symbols.size:
            self._coder.encode(symbols.astype(np.int32), self._categorical, weights.astype(np.float64))
        return symbols

    def alike(self, weights: np.ndarray, count: int, symbols: np.ndarray) -> np.ndarray:
        """`count` symbols 0 .. n - 1, all of probabilities proportional to `weights` (n)."""
        model = self._models.Categorical(weights.astype(np.float64), perfect=False)
        self._coder.encode(symbols.astype(np.int32), model)
        return symbols

    def uniform(self, sizes: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """Symbols 0 .. size - 1, each as likely."""
        wide = sizes > 1
        if wide.any():
            self._coder.encode(symbols[wide].astype(np.int32), self._models.Uniform(), sizes[wide].astype(np.int32))
        return symbols

    def finish(self) -> bytes:
        """All that was coded."""
        return self._coder.get_compressed().astype(_WORD).tobytes()


class Decoder:
    """Bytes to symbols.

    Raises:
        Damaged: the stream is no whole number of words, or constriction is not installed.
    """

    def __init__(self, stream: bytes) -> None:
        if not available():
            raise Damaged("it is range coded, and constriction is not installed here: install constriction 0.5")
        if len(stream) % _WORD.itemsize:
            raise Damaged("a range coded stream is cut short")
        from constriction import stream as streams

        self._models = streams.model
        self._bernoulli = streams.model.Bernoulli(perfect=False)
        self._categorical = streams.model.Categorical(perfect=False)
        self._coder = streams.queue.RangeDecoder(np.frombuffer(stream, _WORD).astype(np.uint32))

    def bits(self, p: np.ndarray, symbols: None = None) -> np.ndarray:
        if not p.size:
            return np.zeros(0, bool)
        return self._decoded(self._bernoulli, np.maximum(p, LEAST) / ONE).astype(bool)

    def choices(self, weights: np.ndarray, symbols: None = None) -> np.ndarray:
        if weights.shape[1] == 1 or not len(weights):
            return np.zeros(len(weights), np.int64)
        return self._decoded(self._categorical, weights.astype(np.float64)).astype(np.int64)

    def alike(self, weights: np.ndarray, count: int, symbols: None = None) -> np.ndarray:
        model = self._models.Categorical(weights.astype(np.float64), perfect=False)
        return self._decoded(model, count).astype(np.int64)

    def uniform(self, sizes: np.ndarray, symbols: None = None) -> np.ndarray:
        found = np.zeros(len(sizes), np.int64)
        wide = sizes > 1
        if wide.any():
            found[wide] = self._decoded(self._models.Uniform(), sizes[wide].astype(np.int32))
        return found

    def _decoded(self, *words: object) -> np.ndarray:
        try:
            return self._coder.decode(*words)
        except (AssertionError, ValueError) as error:
            raise Damaged(f"a range coded stream is damaged ({error})") from error
