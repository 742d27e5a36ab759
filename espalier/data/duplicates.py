"""Images that are the same, pixel by pixel: a test image that was trained on tells nothing."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal

import numpy as np

from espalier.counted import counted
from espalier.data.images import Files
from espalier.errors import DataError

if TYPE_CHECKING:
    from espalier.data.prepared import Dataset

log = logging.getLogger("espalier")

Policy = Literal["error", "drop", "keep"]
_BYTES = 16
_LISTED = 10
_PRIORITY = ("test", "validation", "train")
"""Where the one copy stays that is kept: in the split that scores."""


def digests(images: np.ndarray) -> np.ndarray:
    """A BLAKE2b digest of each image, equal for equal pixels.

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


def distinct(dataset: "Dataset", places: np.ndarray, digests: np.ndarray) -> np.ndarray:
    """Whether each stored image is kept, bool (n,), when some images are identical; copies are logged.

    Args:
        places: indices of the stored images in their source (n,), split after split
        digests: uint64 (n, 2), from `digests`

    Raises:
        DataError: two splits share images, and the data set is set to refuse this.
    """
    labels = dataset.labels.numpy()[places]
    names = dataset.stored
    splits = np.repeat(np.arange(len(names)), [len(dataset.splits[name]) for name in names])
    copies = find_copies(digests, labels, splits)
    files = dataset.images.names(places.tolist()) if isinstance(dataset.images, Files) else []

    def named(place: int) -> str:
        file = files[place] if files else f"image {int(places[place])}"
        return f"{file} ({names[splits[place]]}, {dataset.classes[labels[place]]})"

    if copies.labels:
        two = counted(len(copies.labels), "image stands", "images stand")
        log.warning("%s under two labels:%s", two, listed(copies.labels, named))
    if copies.within:
        within = counted(copies.within, "image of a split is a copy", "images of a split are copies")
        log.info("%s of another one of the same class there", within)
    if not copies.across:
        return np.ones(len(places), bool)
    told, both = listed(copies.across, named), counted(len(copies.across), "image is", "images are")
    if dataset.duplicates == "error":
        raise DataError(
            f"{both} the same in two splits:{told}\nA test image that was trained on tells "
            "nothing. Remove the copies; or set dataset.duplicates: drop, which leaves out training images, or keep"
        )
    out = dropped(copies, splits, names) if dataset.duplicates == "drop" else np.zeros(len(places), bool)
    said = f"{counted(int(out.sum()), 'copy is', 'copies are')} left out" if out.any() else "all are kept"
    log.warning("%s the same in two splits, %s:%s", both, said, told)
    return ~out


def find_copies(digests: np.ndarray, labels: np.ndarray, splits: np.ndarray) -> Copies:
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
