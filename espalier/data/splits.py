"""Train, validation and test splits that are stratified, seeded and disjoint, and what `published` makes of them.

How the best epoch of a training is chosen, on images set aside from training or as reports did on the test split, is
decided where a data set is prepared and nowhere else. Every stage but `evaluate` is handed the train and the validation
split of the prepared file: under `clean` neither holds a test image; under `published` the validation split is the test
split, and so are the choices made on it.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from espalier.data.prepared import Dataset
from espalier.errors import DataError
from espalier.seeding import key


def stratified(labels: np.ndarray, *, validation: float, test: float, seed: int) -> dict[str, np.ndarray]:
    """Indices of each split, ascending; every class has its share of every split, to within one image.

    The test split is cut first, so another validation fraction leaves it as it is.

    Args:
        labels: class of each image (N,)
        validation: fraction of all images
        test: fraction of all images

    Raises:
        DataError: a split would be empty, or a class too small to be in each.
    """
    counts = {"validation": math.ceil(validation * len(labels)), "test": math.ceil(test * len(labels))}
    if validation + test >= 1:
        raise DataError(f"dataset.validation {validation} + dataset.test {test} leave nothing to train on")
    if empty := [name for name, count in counts.items() if not count]:
        raise DataError(f"dataset.{empty[0]} is 0, which leaves the {empty[0]} split empty")
    rest, splits = np.arange(len(labels)), {}
    try:
        for name in ("test", "validation"):
            rest, splits[name] = _cut(labels, rest, counts[name], name, seed)
    except ValueError as error:
        raise DataError(
            f"{len(labels)} images cannot be split with validation {validation}, test {test}: {error}"
        ) from None
    return {name: np.sort(part) for name, part in {"train": rest, **splits}.items()}


def validated(labels: np.ndarray, train: np.ndarray, *, validation: float, seed: int) -> dict[str, np.ndarray]:
    """The train split without the part that is set aside for validation, and that part, both ascending.

    Args:
        labels: class of each image (N,)
        train: indices of the train split
        validation: fraction of the train split

    Raises:
        DataError: a split would be empty, or a class too small to be in both.
    """
    if not (count := math.ceil(validation * len(train))):
        raise DataError("dataset.validation is 0, which leaves the validation split empty")
    try:
        rest, part = _cut(labels, train, count, "validation", seed)
    except ValueError as error:
        raise DataError(f"{len(train)} training images cannot give {validation} to validation: {error}") from None
    return {"train": np.sort(rest), "validation": np.sort(part)}


def sized(labels: np.ndarray, *, sizes: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """Stratified splits of given sizes, cut in their order, ascending; what is left over is in none.

    Args:
        labels: class of each image (N,)
        sizes: split → number of its images

    Raises:
        DataError: there are too few images, or a split has fewer than there are classes.
    """
    rest, splits = np.arange(len(labels)), {}
    try:
        for name, count in sizes.items():
            rest, part = _cut(labels, rest, count, name, seed)
            splits[name] = np.sort(part)
    except ValueError as error:
        text = ", ".join(f"{count} for {name}" for name, count in sizes.items())
        raise DataError(f"{len(labels)} images cannot give {text}: {error}") from None
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


def _cut(labels: np.ndarray, places: np.ndarray, count: int, name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import train_test_split

    return train_test_split(
        places, test_size=count, stratify=labels[places], random_state=key("split", name, seed) % 2**32
    )
