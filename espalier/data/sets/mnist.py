from pathlib import Path

import numpy as np
from torchvision.datasets import MNIST

from espalier.data.images import Arrays
from espalier.data.official_files import opened
from espalier.data.prepared import Dataset
from espalier.data.source_collection import Collection
from espalier.settings.registry import register
from espalier.settings.types import Classes, Count, Fraction, Literal, Natural, Portion


@register("dataset", classes=10, train_images=60_000, channels=1, published={"mean": (0.1307,), "std": (0.3081,)})
def mnist(
    source: Path | None,
    *,
    image_size: Count = 28,
    split: Literal["official", "80/10/10"] = "official",
    validation: Fraction = 0.1,
    split_seed: Natural = 0,
    fraction: Portion = 1.0,
    keep: Classes | None = None,
) -> Dataset:
    """The 70,000 handwritten digits of MNIST (LeCun et al. 1998), 28x28 and gray at their source.

    Args:
        image_size: height and width in pixels
        split: official: the authors' train and test splits; 80/10/10: a stratified split of all images
        validation: fraction of the official train split set aside for validation; leave it out with 80/10/10, which
            sets aside a tenth of all
        split_seed: seed of the splits that are drawn, and of `fraction`
        fraction: part of the training images to use, stratified by class; validation and test stay whole
        keep: classes to use, by number or name; they are renumbered in this order; null for all
    """
    train, test = opened(MNIST, source, name="mnist", holds="MNIST")
    images = Arrays(np.concatenate([train.data, test.data]), image_size)
    labels = {"train": train.targets, "test": test.targets}
    return Collection.of_parts(images, labels, "0123456789").arranged(
        keep=keep, split=split, validation=validation, split_seed=split_seed, fraction=fraction
    )
