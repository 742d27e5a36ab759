"""How the best epoch of a training is chosen: on images set aside from training, or as reports did, on the test split.

This is decided where a data set is prepared and nowhere else. Every stage but `evaluate` is handed the train and the
validation split of the prepared file: under `clean` neither holds a test image; under `published` the validation split
is the test split, and so are the choices made on it.
"""

from dataclasses import replace

import torch

from espalier.data.prepared import Dataset
from espalier.errors import DataError


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
