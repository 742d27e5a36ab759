from pathlib import Path

import torch
from torch.nn.functional import interpolate

from espalier.data.prepared import Dataset
from espalier.data.splits import stratified
from espalier.settings.registry import register
from espalier.settings.types import Count, Fraction, Natural


@register("dataset", classes=10, train_images=1_797, channels=1)
def digits(
    source: Path | None,
    *,
    image_size: Count = 16,
    validation: Fraction = 0.15,
    test: Fraction = 0.2,
    split_seed: Natural = 0,
) -> Dataset:
    """The 1,797 handwritten digits of UCI that ship inside scikit-learn, in gray.

    They are 8x8 with values 0 to 16; resized by torch's antialiased bilinear interpolation in float64 and rounded.

    Args:
        image_size: height and width in pixels
        validation: fraction of all images in the validation split
        test: fraction of all images in the test split
        split_seed: seed of the stratified splits
    """
    from sklearn.datasets import load_digits

    raw = load_digits()
    images = torch.from_numpy(raw.images).unsqueeze(1) * (255 / 16)
    images = interpolate(images, size=(image_size, image_size), mode="bilinear", antialias=True)
    splits = stratified(raw.target, validation=validation, test=test, seed=split_seed)
    return Dataset(
        images=images.round().clamp(0, 255).to(torch.uint8),
        labels=torch.from_numpy(raw.target).to(torch.int64),
        splits={name: torch.from_numpy(part) for name, part in splits.items()},
        classes=tuple(str(name) for name in raw.target_names),
    )
