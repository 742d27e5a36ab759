"""Images written to a file block by block by several threads: memory does not grow with their number.

How often each value stands in each channel is counted on the way; mean and deviation from that are exact in any order.

Pillow decodes and resizes outside Python's lock, so threads are as good as processes and need no copies.
"""

import logging
import math
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from torch import Tensor

from espalier.data.duplicates import digests
from espalier.data.images import Images, Unreadable
from espalier.errors import DataError

log = logging.getLogger("espalier")

_BLOCK = 1 << 20
"""Bytes of pixels that a thread holds at once."""
_LISTED = 20


def fill(
    file: BinaryIO, images: Tensor | Images, places: np.ndarray, counted: int, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """Write the images at `places` to a file, one after the other, as uint8 (H, W, C).

    Several threads write; the bytes do not depend on their number.

    Args:
        places: indices of images
        counted: number of images, from the first on, that the histogram counts

    Returns:
        the histogram of values, int64 (C, 256), and a digest of each image, uint64 (n, 2)

    Raises:
        DataError: images are missing or damaged. All are checked, and the first 20 are listed.
    """
    _, channels, height, width = images.shape
    size = channels * height * width
    step = max(1, _BLOCK // size)

    seen = np.zeros((len(places), 2), np.uint64)

    def block(start: int) -> tuple[int, np.ndarray | None, list[str]]:
        part = places[start : start + step]
        pixels, unreadable = _pixels(images, part)
        if unreadable:
            return len(part), None, unreadable
        _write_at(file.fileno(), pixels, start * size)
        seen[start : start + len(part)] = digests(pixels)
        return len(part), histogram(pixels[: max(counted - start, 0)]), []

    counts, missing = np.zeros((channels, 256), np.int64), []
    pool = ThreadPoolExecutor(threads)
    try:
        with _progress(len(places)) as advance:
            for done, found, unreadable in pool.map(block, range(0, len(places), step)):
                if found is not None:
                    counts += found
                missing += unreadable
                advance(done)
    finally:
        pool.shutdown(cancel_futures=True)
    if missing:
        more = f"\n  … and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        listed = "".join(f"\n  {one}" for one in missing[:_LISTED])
        raise DataError(f"{len(missing)} of {len(places)} images cannot be read; replace or remove them:{listed}{more}")
    return counts, seen


def thin(file: BinaryIO, kept: np.ndarray, shape: tuple[int, int, int], counted: int) -> np.ndarray:
    """Remove images from a file that `fill` has written, in place.

    Args:
        kept: whether each image stays, bool (n,)
        shape: (H, W, C) of an image
        counted: number of images that the histogram of `fill` counted

    Returns:
        the histogram of the removed ones among these, int64 (C, 256)
    """
    size = math.prod(shape)
    counts, end = np.zeros((shape[2], 256), np.int64), 0
    for place, stays in enumerate(kept.tolist()):
        if stays and end == place:
            end += 1
            continue
        pixels = np.frombuffer(os.pread(file.fileno(), size, place * size), np.uint8).reshape(1, *shape)
        if stays:
            _write_at(file.fileno(), pixels, end * size)
            end += 1
        elif place < counted:
            counts += histogram(pixels)
    file.truncate(end * size)
    return counts


def histogram(images: np.ndarray) -> np.ndarray:
    """How often each value stands in each channel.

    Args:
        images: uint8 (n, H, W, C)

    Returns:
        int64 (C, 256)
    """
    channels = np.moveaxis(images, -1, 0)
    return np.stack([np.bincount(channel.reshape(-1), minlength=256) for channel in channels])


def moments(counts: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation (of the whole, not of a sample) of each channel on the scale 0..1.

    Args:
        counts: int64 (C, 256), as `histogram` counts
    """
    mean, std = [], []
    for channel in counts.tolist():
        total = sum(channel)
        first = sum(value * count for value, count in enumerate(channel))
        second = sum(value * value * count for value, count in enumerate(channel))
        mean.append(first / total / 255)
        std.append((total * second - first * first) ** 0.5 / total / 255)
    return mean, std


def _pixels(images: Tensor | Images, places: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """uint8 (n, H, W, C), contiguous, and what kept images from being read."""
    if isinstance(images, Tensor):
        return images[places].permute(0, 2, 3, 1).contiguous().numpy(), []
    _, channels, height, width = images.shape
    pixels, unreadable = np.empty((len(places), height, width, channels), np.uint8), []
    for row, place in zip(pixels, places, strict=True):
        try:
            row[:] = images.image(int(place))
        except Unreadable as error:
            unreadable.append(str(error))
    return pixels, unreadable


def _write_at(descriptor: int, pixels: np.ndarray, offset: int) -> None:
    """Write without a position in the file, which threads would share."""
    rest = memoryview(np.ascontiguousarray(pixels)).cast("B")
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """What to call with the images that are done: a bar when stderr is a terminal, else a line each tenth."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, unit="image", dynamic_ncols=True, delay=1) as bar:
            yield bar.update
        return
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        if 10 * done // total > 10 * before // total:
            log.info("%d of %d images (%d %%)", done, total, 100 * done // total)

    yield advance
