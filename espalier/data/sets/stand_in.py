from pathlib import Path

import torch
from torch.nn.functional import interpolate

from espalier.data.prepared import Dataset
from espalier.data.splits import sized
from espalier.errors import DataError
from espalier.settings.registry import register
from espalier.settings.types import Count, Natural


@register("dataset")
def stand_in(
    source: Path | None,
    *,
    image_size: Count = 32,
    channels: Count = 3,
    classes: Count = 10,
    train: Count = 64,
    validation: Count = 16,
    test: Count = 16,
    split_seed: Natural = 0,
) -> Dataset:
    """A few of the 1,797 digits inside scikit-learn in the shape of another data set, without a download: to see that
    a study works. What is measured on them says nothing of the other data set.

    Args:
        image_size: height and width in pixels
        channels: channels of each image, all with the same values
        classes: number of classes; those after the tenth have no images; with fewer than ten, the digits after the last
            are left out
        train: images of the train split, about as many of each digit
        validation: images of the validation split, about as many of each digit
        test: images of the test split, about as many of each digit
        split_seed: seed of the splits
    """
    from sklearn.datasets import load_digits

    if classes < 2:
        raise DataError(f"dataset.classes is {classes}; there is nothing to tell apart below 2")
    raw = load_digits()
    chosen = raw.target < classes
    labels = raw.target[chosen]
    images = torch.from_numpy(raw.images[chosen]).unsqueeze(1) * (255 / 16)
    sizes = {"test": test, "validation": validation, "train": train}
    splits = sized(labels, sizes=sizes, seed=split_seed)
    places = torch.cat([torch.from_numpy(part) for part in splits.values()])
    # The rest would be resized for nothing.
    images = interpolate(images[places], size=(image_size, image_size), mode="bilinear", antialias=True)
    ends = torch.tensor([len(part) for part in splits.values()]).cumsum(0).tolist()
    parts = torch.arange(len(places)).tensor_split(ends[:-1])
    return Dataset(
        images=images.round().clamp(0, 255).to(torch.uint8).expand(-1, channels, -1, -1),
        labels=torch.from_numpy(labels).to(torch.int64)[places],
        splits=dict(zip(splits, parts, strict=True)),
        classes=tuple(str(number) for number in range(classes)),
    )
