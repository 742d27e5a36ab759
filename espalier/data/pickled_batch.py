"""Batches of images as the authors of CIFAR pickle them, and as competitions hand out images without labels.

A pickle is a program. Here it may only put together numpy arrays, plain containers, numbers and text.
"""

import pickle
from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from espalier.counted import counted
from espalier.errors import DataError

SUFFIXES = (".pkl", ".pickle")
_ALLOWED = {
    *(("numpy._core.multiarray", "_reconstruct"), ("numpy._core.numeric", "_frombuffer")),
    *(("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")),
}
"""What Python needs of modules to make an array of its bytes."""
_IDS = ("ids", "id", "filenames")
_CHANNELS = (3, 1)


class PickledBatch(NamedTuple):
    """Images of a file."""

    images: np.ndarray
    """uint8 (n, H, W, C)"""
    ids: list[Any]
    """of each image, as the file has it; its place from 0 where it has none"""


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # numpy 2 has moved what older files name.
        module = module.replace("numpy.core", "numpy._core")
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")
        return super().find_class(module, name)


def read(path: Path) -> PickledBatch:
    """Read the images of a pickled array, or of a pickled dictionary whose `data` is one.

    The array is uint8 (n, C·H·H) with one channel after the other, (n, H, W, C) or (n, C, H, W).

    Raises:
        DataError: the file cannot be read, holds anything but plain data, or no such images.
    """
    try:
        with path.open("rb") as file:
            found = _Plain(file, encoding="bytes").load()
    except Exception as error:
        # A damaged pickle can raise whatever its instructions lead to.
        raise DataError(f"{path}: cannot be read as plain arrays ({error or type(error).__name__})") from None
    parts = {_text(key): value for key, value in found.items()} if isinstance(found, Mapping) else {"data": found}
    if "data" not in parts:
        raise DataError(f"{path}: holds no data; its keys are {', '.join(map(str, parts)) or 'none'}")
    images = _images(path, parts["data"])
    ids = next((parts[key] for key in _IDS if parts.get(key) is not None), range(len(images)))
    if len(ids) != len(images):
        raise DataError(f"{path}: has {counted(len(images), 'image')} and {counted(len(ids), 'id')}")
    return PickledBatch(images, [_text(one) for one in ids])


def _images(path: Path, data: Any) -> np.ndarray:
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8:
        kind = f"an array of {data.dtype}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{path}: its data are {kind}, and images are arrays of uint8")
    if data.ndim == 2:
        for channels in _CHANNELS:
            side = isqrt(data.shape[1] // channels)
            if side and channels * side**2 == data.shape[1]:
                return data.reshape(-1, channels, side, side).transpose(0, 2, 3, 1)
    elif data.ndim == 4 and data.shape[3] in _CHANNELS:
        return data
    elif data.ndim == 4 and data.shape[1] in _CHANNELS:
        return data.transpose(0, 2, 3, 1)
    raise DataError(f"{path}: its data have the shape {data.shape}, which is none of images of 1 or 3 channels")


def _text(found: Any) -> Any:
    if isinstance(found, bytes):
        return found.decode(errors="replace")
    return found.item() if isinstance(found, np.generic) else found
