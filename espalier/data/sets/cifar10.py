from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10

from espalier.data.images import Arrays
from espalier.data.official_files import opened
from espalier.data.prepared import Dataset
from espalier.data.source_collection import Collection
from espalier.settings.registry import register
from espalier.settings.types import Classes, Count, Fraction, Literal, Natural, Portion


@register(
    "dataset",
    classes=10,
    train_images=50_000,
    published={"mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2616)},
)
def cifar10(
    source: Path | None,
    *,
    image_size: Count = 32,
    grayscale: bool = False,
    split: Literal["official", "80/10/10"] = "official",
    validation: Fraction = 0.1,
    split_seed: Natural = 0,
    fraction: Portion = 1.0,
    keep: Classes | None = None,
) -> Dataset:
    """The 60,000 photographs of CIFAR-10 (Krizhevsky 2009), 32x32 at their source.

    Args:
        image_size: height and width in pixels
        grayscale: make images gray, with one channel
        split: official: the authors' train and test splits; 80/10/10: a stratified split of all images
        validation: fraction of the official train split set aside for validation; leave it out with 80/10/10, which
            sets aside a tenth of all
        split_seed: seed of the splits that are drawn, and of `fraction`
        fraction: part of the training images to use, stratified by class; validation and test stay whole
        keep: classes to use, by number or name; they are renumbered in this order; null for all
    """
    # torchvision reads the authors' pickles, and these only after every file has passed its MD5 check.
    train, test = opened(CIFAR10, source, name="cifar10", holds=CIFAR10.base_folder)
    images = Arrays(np.concatenate([train.data, test.data]), image_size, grayscale)
    labels = {"train": train.targets, "test": test.targets}
    return Collection.of_parts(images, labels, train.classes).arranged(
        keep=keep, split=split, validation=validation, split_seed=split_seed, fraction=fraction
    )
