"""Train, validation and test splits that are stratified, seeded and disjoint."""

import math

import numpy as np

from espalier.data.prepared import DataError
from espalier.seeding import key


def stratified(labels: np.ndarray, *, validation: float, test: float, seed: int) -> dict[str, np.ndarray]:
    """Indices of each split, ascending; every class has its share of every split, to within one image.

    The test split is cut first, so another validation fraction leaves it as it is.

    Args:
        labels: class of each image (N,)
        validation: fraction of all images
        test: fraction of all images
    """
    from sklearn.model_selection import train_test_split

    counts = {"validation": math.ceil(validation * len(labels)), "test": math.ceil(test * len(labels))}
    if validation + test >= 1:
        raise DataError(f"dataset.validation {validation} + dataset.test {test} leave nothing to train on")
    if empty := [name for name, count in counts.items() if not count]:
        raise DataError(f"dataset.{empty[0]} is 0, which leaves the {empty[0]} split empty")
    rest, splits = np.arange(len(labels)), {}
    try:
        for name in ("test", "validation"):
            rest, splits[name] = train_test_split(
                rest, test_size=counts[name], stratify=labels[rest], random_state=key("split", name, seed) % 2**32
            )
    except ValueError as error:
        raise DataError(
            f"{len(labels)} images cannot be split with validation {validation}, test {test}: {error}"
        ) from None
    return {name: np.sort(part) for name, part in {"train": rest, **splits}.items()}
