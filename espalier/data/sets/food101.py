from pathlib import Path

from torchvision.datasets import Food101

from espalier.data.images import Files
from espalier.data.official_files import opened
from espalier.data.prepared import Dataset
from espalier.data.source_collection import Collection
from espalier.settings.registry import register
from espalier.settings.types import Classes, Count, Fraction, Literal, Natural, Portion


@register("dataset", classes=101, train_images=75_750)
def food101(
    source: Path | None,
    *,
    image_size: Count = 64,
    grayscale: bool = False,
    split: Literal["official", "80/10/10"] = "official",
    validation: Fraction = 0.1,
    split_seed: Natural = 0,
    fraction: Portion = 1.0,
    keep: Classes | None = None,
) -> Dataset:
    """The 101,000 photographs of meals of Food-101 (Bossard et al. 2014), up to 512 pixels a side at their source.

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
    # A loader that loads nothing: images are read when they are written.
    halves = [{"split": half, "loader": Path} for half in ("train", "test")]
    train, test = opened(Food101, source, name="food101", holds="food-101", parts=halves)
    found = {name: [part[place] for place in range(len(part))] for name, part in (("train", train), ("test", test))}
    images = Files([path for part in found.values() for path, _ in part], image_size, grayscale)
    labels = {name: [label for _, label in part] for name, part in found.items()}
    return Collection.of_parts(images, labels, train.classes).arranged(
        keep=keep, split=split, validation=validation, split_seed=split_seed, fraction=fraction
    )
