"""How many images of each class each split has: what a score on them can tell, and what is missing."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from espalier.counted import counted
from espalier.errors import DataError

FEW = 300
"""Test images below which the interval of a top-1 is worth a warning."""
_LISTED = 5

Counts = Mapping[str, Sequence[int]]
"""Split → images of each class."""


def by_split(labels: np.ndarray, splits: Mapping[str, np.ndarray], classes: int) -> dict[str, list[int]]:
    """Images of each class in each split.

    Args:
        labels: class of each image (N,)
        splits: split → indices of its images
    """
    return {name: np.bincount(labels[part], minlength=classes).tolist() for name, part in splits.items()}


def check(counts: Counts, classes: Sequence[str]) -> None:
    """Refuse splits of which one has no image of some class.

    Raises:
        DataError: what is missing, by name, and the mend.
    """
    lacking = [
        (name, {split: counts[split][number] for split in counts})
        for number, name in enumerate(classes)
        if not all(own[number] for own in counts.values())
    ]
    if not lacking:
        return
    told = [
        f"{name} ({', '.join(f'{count} {split}' for split, count in own.items())})" for name, own in lacking[:_LISTED]
    ]
    more = f" and {len(lacking) - _LISTED} more" if len(lacking) > _LISTED else ""
    raise DataError(
        f"a class without an image in a split: {', '.join(told)}{more}. What is measured there would say nothing of "
        "it. Add images, leave the class out with dataset.keep, or make the split larger"
    )


def interval(images: int, top1: float = 90.0, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a top-1 in percent on so many test images (Wilson 1927)."""
    share, spread = top1 / 100, z * z / images
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / images + spread / images / 4) / (1 + spread)
    return 100 * (middle - half), 100 * (middle + half)


def words(counts: Counts, classes: Sequence[str]) -> list[str]:
    """Lines for a log: each class's images in each split, and what one test image is worth."""
    width = max(len("class"), *map(len, classes))
    rows = [("class", *counts), *((name, *column) for name, *column in zip(classes, *counts.values(), strict=True))]
    lines = [f"{name:<{width}}  " + "  ".join(f"{cell:>10}" for cell in cells) for name, *cells in rows]
    return [*lines, resolution(sum(counts["test"]))]


def resolution(images: int) -> str:
    """What so many test images can tell apart, in a sentence."""
    low, high = interval(images)
    worth = f"{counted(images, 'test image')}: one is worth {100 / images:.2g} points"
    return f"{worth}, and a top-1 of 90 % has a 95 % interval of {low:.1f} to {high:.1f} %"
