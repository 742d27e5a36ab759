"""Train, validation and test splits that are stratified, seeded and disjoint, and what `published` makes of them.

How the best epoch of a training is chosen, on images set aside from training or as reports did on the test split, is
decided where a data set is prepared and nowhere else. Every stage but `evaluate` is handed the train and the validation
split of the prepared file: under `clean` neither holds a test image; under `published` the validation split is the test
split, and so are the choices made on it.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from espalier.counted import counted
from espalier.data.prepared import Dataset
from espalier.errors import DataError
from espalier.seeding import key


def stratified(
    labels: np.ndarray,
    *,
    validation: float,
    test: float,
    seed: int,
    classes: Sequence[str] = (),
    groups: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Indices of each split, ascending; every class has its share of every split, to within one image.

    The test split is cut first, so another validation fraction leaves it as it is.

    Args:
        labels: class of each image (N,)
        validation: fraction of all images
        test: fraction of all images
        classes: names for messages; without them, classes are called by their numbers
        groups: number of each image's group (N,), of which all images stay in one split; shares are then only near

    Raises:
        DataError: a split would be empty, or a class too small to be in each.
    """
    counts = {"validation": math.ceil(validation * len(labels)), "test": math.ceil(test * len(labels))}
    if validation + test >= 1:
        raise DataError(f"dataset.validation {validation} + dataset.test {test} leave nothing to train on")
    if empty := [name for name, count in counts.items() if not count]:
        raise DataError(f"dataset.{empty[0]} is 0, which leaves the {empty[0]} split empty")
    rest, splits = np.arange(len(labels)), {}
    for name in ("test", "validation"):
        rest, splits[name] = _cut(labels, rest, counts[name], name, seed, classes, groups)
    return {name: np.sort(part) for name, part in {"train": rest, **splits}.items()}


def validated(
    labels: np.ndarray,
    train: np.ndarray,
    *,
    validation: float,
    seed: int,
    classes: Sequence[str] = (),
    groups: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """The train split without the part that is set aside for validation, and that part, both ascending.

    Args:
        labels: class of each image (N,)
        train: indices of the train split
        validation: fraction of the train split
        classes: names for messages, as for `stratified`
        groups: number of each image's group (N,), likewise

    Raises:
        DataError: a split would be empty, or a class too small to be in both.
    """
    if not (count := math.ceil(validation * len(train))):
        raise DataError("dataset.validation is 0, which leaves the validation split empty")
    rest, part = _cut(labels, train, count, "validation", seed, classes, groups)
    return {"train": np.sort(rest), "validation": np.sort(part)}


def folded(
    labels: np.ndarray,
    *,
    folds: int,
    fold: int,
    validation: float,
    seed: int,
    classes: Sequence[str] = (),
    groups: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """The splits of one fold of a stratified cross-validation, ascending: the fold is tested, the rest is trained and
    validated on. Every image is in the test split of one fold.

    Args:
        labels: class of each image (N,)
        folds: into how many parts the images are cut
        fold: the part that is tested, from 0
        validation: fraction of the rest
        classes: names for messages, as for `stratified`
        groups: number of each image's group (N,), likewise

    Raises:
        DataError: there are fewer images of a class than folds, or a split would be empty.
    """
    _enough(labels, np.arange(len(labels)), folds, classes)
    parts = _folds(labels, np.arange(len(labels)), folds, "fold", seed, groups)
    test = np.sort(parts[fold])
    train = np.setdiff1d(np.arange(len(labels)), test)
    cut = validated(labels, train, validation=validation, seed=seed, classes=classes, groups=groups)
    return {**cut, "test": test}


def sized(labels: np.ndarray, *, sizes: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """Stratified splits of given sizes, cut in their order, ascending; what is left over is in none.

    Args:
        labels: class of each image (N,)
        sizes: split → number of its images

    Raises:
        DataError: there are too few images, or a split has fewer than there are classes.
    """
    rest, splits = np.arange(len(labels)), {}
    for name, count in sizes.items():
        rest, part = _cut(labels, rest, count, name, seed)
        splits[name] = np.sort(part)
    return splits


def portion(labels: np.ndarray, places: np.ndarray, *, fraction: float, seed: int) -> np.ndarray:
    """A stratified part of `places`, ascending: the nearest whole number of each class, and one at least.

    A smaller fraction is a part of a larger one of the same seed, so curves over it compare nested sets.
    """
    order = np.random.Generator(np.random.PCG64(key("fraction", seed))).permutation(np.sort(places))
    classes = labels[order]
    members = [order[classes == number] for number in np.unique(classes)]
    return np.sort(np.concatenate([part[: max(1, round(fraction * len(part)))] for part in members]))


def published(dataset: Dataset) -> Dataset:
    """The data set as reports used it: all images outside the test split train, and the test split is also the
    validation split. Accuracies are optimistic, since the epoch is the best one on the images it is scored on.

    Raises:
        DataError: a split is missing.
    """
    if missing := {"train", "validation", "test"} - set(dataset.splits):
        raise DataError(f"splits must be train, validation, test; there is no {', '.join(sorted(missing))}")
    splits = dataset.splits
    train = torch.cat([splits["train"], splits["validation"]]).sort().values
    both = {"train": train, "validation": splits["test"], "test": splits["test"]}
    return replace(dataset, splits=both, protocol="published")


def _cut(
    labels: np.ndarray,
    places: np.ndarray,
    count: int,
    name: str,
    seed: int,
    classes: Sequence[str] = (),
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Places less a split's, and the split's."""
    _enough(labels, places, 2, classes)
    present = len(np.unique(labels[places]))
    for left, what in ((count, name), (len(places) - count, f"all but {name}")):
        if left < present:
            raise DataError(
                f"{left} of {counted(len(places), 'image')} for {what} are fewer than the {present} classes"
            )
    if groups is None:
        from sklearn.model_selection import train_test_split

        drawn = key("split", name, seed) % 2**32
        return train_test_split(places, test_size=count, stratify=labels[places], random_state=drawn)
    # Few groups make larger parts than asked.
    parts = max(2, min(round(len(places) / count), len(np.unique(groups[places]))))
    part = _folds(labels, places, parts, name, seed, groups)[0]
    return np.setdiff1d(places, part), part


def _folds(
    labels: np.ndarray, places: np.ndarray, folds: int, name: str, seed: int, groups: np.ndarray | None
) -> list[np.ndarray]:
    """Places in so many parts of like shares of the classes, no group in two."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    drawn = key("split", name, seed) % 2**32
    if groups is None:
        found = StratifiedKFold(folds, shuffle=True, random_state=drawn).split(places, labels[places])
        return [places[part] for _, part in found]
    many = len(np.unique(groups[places]))
    if many < folds:
        raise DataError(f"{counted(many, 'group')} of images cannot be in {folds} parts, for {name}")
    # The smallest class may have fewer images than there are parts, which its own counts tell.
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        method = StratifiedGroupKFold(folds, shuffle=True, random_state=drawn)
        return [places[part] for _, part in method.split(places, labels[places], groups[places])]


def _enough(labels: np.ndarray, places: np.ndarray, least: int, classes: Sequence[str]) -> None:
    """Refuse a class with too few images to be cut."""
    found, counts = np.unique(labels[places], return_counts=True)
    for number, count in zip(found.tolist(), counts.tolist(), strict=True):
        if count < least:
            name = classes[number] if classes else number
            raise DataError(
                f"class {name} has too few images: {count} are left, where {least} parts need one each. Add images, or "
                "leave the class out with dataset.keep"
            )
