"""Floats and whole numbers kept exactly: byte by byte of a word, the bytes that say most beside each other.

The sign of a float goes to its other end, so that the exponent is a byte. Batch normalization's weight, bias, mean
and variance of a dead channel are tiny together: a word's first byte is coded beside the first byte of the word at
its place in the tensor of this length before.
"""

from collections.abc import Sequence

import numpy as np

from espalier.coding.adaptive_models import Choices, blocks
from espalier.coding.range_coder import SYMBOLS_PER_BYTE, Decoder, Encoder
from espalier.coding.xz import compress, decompress
from espalier.errors import Damaged

_CLASSES = 17
"""Contexts of a first byte: none before, or the upper half of the byte before."""


def words(values: np.ndarray, floats: bool) -> np.ndarray:
    """Unsigned words as (n, bytes of a word), the most significant byte first."""
    bits = 8 * values.itemsize
    if floats:
        values = values << 1 | values >> (bits - 1)
    return values.astype(values.dtype.newbyteorder(">")).view(np.uint8).reshape(len(values), values.itemsize)


def values(words: np.ndarray, floats: bool) -> np.ndarray:
    """The unsigned words that `words` took apart."""
    size = words.shape[1]
    found = np.ascontiguousarray(words).view(f">u{size}").reshape(-1).astype(f"=u{size}")
    return found >> 1 | found << (8 * size - 1) if floats else found


def encode_xz(words: np.ndarray) -> bytes:
    """Plane after plane through LZMA."""
    return compress(words.T.tobytes())


def decode_xz(stream: bytes, count: int, size: int) -> np.ndarray:
    """Words of `size` bytes.

    Raises:
        Damaged: the stream is not that of so many words.
    """
    data = decompress(stream, count * size)
    if len(data) != count * size:
        raise Damaged(f"{len(data)} bytes for {count} words of {size}")
    return np.frombuffer(data, np.uint8).reshape(size, count).T


def encode_range(words: np.ndarray, lengths: Sequence[int], kinds: Sequence[int]) -> bytes:
    """Code the words of tensors one after another.

    Args:
        lengths: words of each tensor
        kinds: a small number for each tensor; those of one kind share their models
    """
    coder = Encoder()
    _run(coder, words.shape, lengths, kinds, words)
    return coder.finish()


def decode_range(stream: bytes, lengths: Sequence[int], kinds: Sequence[int], size: int) -> np.ndarray:
    """Words of `size` bytes.

    Raises:
        Damaged: the stream is too short for so many words.
    """
    if sum(lengths) * size > (len(stream) + 8) * SYMBOLS_PER_BYTE:
        raise Damaged("a stream is too short for its words")
    return _run(Decoder(stream), (sum(lengths), size), lengths, kinds, None)


def _run(
    coder: Encoder | Decoder,
    shape: tuple[int, int],
    lengths: Sequence[int],
    kinds: Sequence[int],
    words: np.ndarray | None,
) -> np.ndarray:
    firsts = {kind: Choices(_CLASSES, worth=16, pooled=16) for kind in set(kinds)}
    rests = [{kind: Choices(2, worth=1024, pooled=64) for kind in set(kinds)} for _ in range(shape[1] - 1)]
    found = np.zeros(shape, np.uint8)
    before: dict[int, np.ndarray] = {}
    offset = 0
    for length, kind in zip(lengths, kinds, strict=True):
        one = found[offset : offset + length]
        given = None if words is None else words[offset : offset + length].astype(np.int64)
        contexts = (before[length] >> 4).astype(np.int64) + 1 if length in before else np.zeros(length, np.int64)
        for start, stop in blocks(length):
            at = slice(start, stop)
            one[at, 0] = firsts[kind].code(coder, contexts[at], None if given is None else given[at, 0])
            tiny = (one[at, 0] == 0).astype(np.int64)
            for plane, models in enumerate(rests, 1):
                one[at, plane] = models[kind].code(coder, tiny, None if given is None else given[at, plane])
        before[length] = one[:, 0]
        offset += length
    return found
