"""Tensors of a coded file as they are read: numbers of NumPy, so that a file is decoded without torch."""

from typing import NamedTuple

import numpy as np


class Kind(NamedTuple):
    """What a stream of words holds."""

    dtype: str
    """torch's name of the type"""
    itemsize: int
    """bytes of a value"""
    floating: bool


DTYPES = {
    dtype: Kind(dtype, itemsize, floating)
    for dtype, itemsize, floating in (
        *(("float32", 4, True), ("float16", 2, True), ("bfloat16", 2, True), ("float64", 8, True)),
        *(("int8", 1, False), ("uint8", 1, False), ("int16", 2, False), ("int32", 4, False), ("int64", 8, False)),
        ("bool", 1, False),
    )
}
KINDS = {**DTYPES, "scale": DTYPES["float32"], "zero_point": DTYPES["int32"]}
"""Kind of a stream → type of its tensors."""


class Raw(NamedTuple):
    """A tensor that is kept as it is."""

    dtype: str
    shape: tuple[int, ...]
    words: np.ndarray
    """the bits of its values, unsigned and little-endian, (values,)"""

    def values(self) -> np.ndarray:
        """The values in their shape; of a type that NumPy has."""
        return self.words.view(np.dtype(self.dtype).newbyteorder("<")).reshape(self.shape)


class RawLevels(NamedTuple):
    """A tensor as levels, as `quantization.qparams.Quantized` has it."""

    levels: np.ndarray
    """int32"""
    scale: np.ndarray
    """float32, of a shape that broadcasts to the levels'"""
    zero_point: np.ndarray
    """int32, of the scale's shape"""
    lowest: int
    highest: int

    def dequantize(self) -> np.ndarray:
        """The numbers, float32, that the levels stand for."""
        steps = np.subtract(self.levels, self.zero_point, out=np.empty(self.levels.shape, np.float32), casting="unsafe")
        return np.multiply(steps, self.scale, out=steps)
