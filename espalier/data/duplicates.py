"""Images that are the same, pixel by pixel: a test image that was trained on tells nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np

Policy = Literal["error", "drop", "keep"]
_BYTES = 16
_LISTED = 10
_PRIORITY = ("test", "validation", "train")
"""Where the one copy stays that is kept: in the split that scores."""


def digests(images: np.ndarray) -> np.ndarray:
    """What stands for each image: the same for the same pixels.

    Args:
        images: uint8 (n, H, W, C), contiguous

    Returns:
        uint64 (n, 2)
    """
    found = b"".join(blake2b(image, digest_size=_BYTES).digest() for image in images)
    return np.frombuffer(found, np.uint64).reshape(len(images), 2)


@dataclass(frozen=True)
class Copies:
    """Groups of the same images, by their places in the stored order."""

    across: Sequence[Sequence[int]]
    """in more than one split"""
    labels: Sequence[Sequence[int]]
    """under more than one label"""
    within: int
    """images that another one of the same split and label equals"""


def found(digests: np.ndarray, labels: np.ndarray, splits: np.ndarray) -> Copies:
    """All copies.

    Args:
        digests: uint64 (n, 2), as `digests` gives them
        labels: int64 (n,)
        splits: the number of each image's split (n,)
    """
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    ordered = digests[order]
    starts = np.flatnonzero(np.r_[True, (ordered[1:] != ordered[:-1]).any(1)])
    sizes = np.diff(np.r_[starts, len(ordered)])
    across, other, within = [], [], 0
    for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        group = np.sort(order[start : start + size])
        if len(set(splits[group].tolist())) > 1:
            across.append(group.tolist())
        if len(set(labels[group].tolist())) > 1:
            other.append(group.tolist())
        within += size - len(set(zip(splits[group].tolist(), labels[group].tolist(), strict=True)))
    return Copies(sorted(across), sorted(other), within)


def dropped(copies: Copies, splits: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Whether each image is a copy of one in a split that comes before its own: test, then validation, then train.

    Args:
        splits: the number of each image's split (n,)
        names: the splits by number
    """
    rank = np.array([_PRIORITY.index(name) for name in names])[splits]
    out = np.zeros(len(splits), bool)
    for group in copies.across:
        members = np.asarray(group)
        out[members[rank[members] > rank[members].min()]] = True
    return out


def listed(groups: Sequence[Sequence[int]], name: Callable[[int], str]) -> str:
    """Groups of images by their names, a line each, the first ten."""
    lines = ["\n  " + " = ".join(map(name, group)) for group in groups[:_LISTED]]
    return "".join(lines) + (f"\n  … and {len(groups) - _LISTED} more" if len(groups) > _LISTED else "")
