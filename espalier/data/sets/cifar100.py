from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR100

from espalier.data.images import Arrays
from espalier.data.official_files import opened
from espalier.data.prepared import Dataset
from espalier.data.source_collection import Collection
from espalier.settings.registry import register
from espalier.settings.types import Classes, Count, Fraction, Literal, Natural, Portion

COARSE = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}
"""The 20 superclasses and the five classes of each; torchvision reads the fine labels alone, which determine them."""


@register(
    "dataset",
    classes=100,
    train_images=50_000,
    classes_by={"labels": {"coarse": 20}},
    published={"mean": (0.5071, 0.4865, 0.4409), "std": (0.2673, 0.2564, 0.2762)},
)
def cifar100(
    source: Path | None,
    *,
    labels: Literal["fine", "coarse"] = "fine",
    image_size: Count = 32,
    grayscale: bool = False,
    split: Literal["official", "80/10/10"] = "official",
    validation: Fraction = 0.1,
    split_seed: Natural = 0,
    fraction: Portion = 1.0,
    keep: Classes | None = None,
) -> Dataset:
    """The 60,000 photographs of CIFAR-100 (Krizhevsky 2009), 32x32 at their source.

    Args:
        labels: the 100 classes or their 20 superclasses
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
    train, test = opened(CIFAR100, source, name="cifar100", holds=CIFAR100.base_folder)
    images = Arrays(np.concatenate([train.data, test.data]), image_size, grayscale)
    parts, classes = {"train": np.array(train.targets), "test": np.array(test.targets)}, train.classes
    if labels == "coarse":
        group = {member: number for number, members in enumerate(COARSE.values()) for member in members}
        numbers = np.array([group[name] for name in classes])
        parts, classes = {name: numbers[part] for name, part in parts.items()}, tuple(COARSE)
    return Collection.of_parts(images, parts, classes).arranged(
        keep=keep, split=split, validation=validation, split_seed=split_seed, fraction=fraction
    )
