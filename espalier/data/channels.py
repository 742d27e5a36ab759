"""Mean and standard deviation of each channel from how often each value stands there, exact in any order."""

import numpy as np


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
