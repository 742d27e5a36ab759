import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

from espalier.data.images import Files
from espalier.data.prepared import Dataset
from espalier.data.source_collection import Collection
from espalier.errors import DataError
from espalier.settings.registry import register
from espalier.settings.types import Classes, Count, Fraction, Literal, Natural, Portion

_SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation"}


@register("dataset")
def folder(
    source: Path | None,
    *,
    path: str,
    image_size: Count = 32,
    grayscale: bool = False,
    split: Literal["official", "80/10/10"] | None = None,
    validation: Fraction = 0.1,
    split_seed: Natural = 0,
    fraction: Portion = 1.0,
    keep: Classes | None = None,
) -> Dataset:
    """Your own images, one folder a class; or train/ and test/ with one folder a class in each.

    val/, valid/ or validation/ beside train/ and test/ is the validation split; without test/, it is the test split,
    and the validation split is cut from train/. The formats are those of torchvision's `ImageFolder`.

    Args:
        path: folder of the images; a relative one lies in ESPALIER_DATA, or here where that is not set
        image_size: height and width in pixels
        grayscale: turn colours to gray, which is one channel
        split: official for train/ and test/ as they are, or a stratified 80/10/10 of all images; null for official
            where it is there
        validation: fraction of the official train split set aside for validation; 80/10/10 has its own tenth
        split_seed: seed of the splits that are drawn, and of the fraction
        fraction: stratified part of the training images to use; validation and test stay whole
        keep: classes to use, by number or name, renumbered in this order; null for all
    """
    root = (source or Path()) / path
    try:
        parts = _parts(root)
        _distinct(parts.values())
        classes, numbers = find_classes(next(iter(parts.values())))
        if odd := [name for name in classes if not _text(name)]:
            raise DataError(f"dataset.path {path}: the name of class {odd[0]!r} is not UTF-8; rename its folder")
        if len(classes) < 2:
            raise DataError(f"dataset.path {path}: one class only, {classes[0]}; name the folder above the classes")
        if "all" in parts and {name.lower() for name in classes} <= _SPLITS:
            raise DataError(f"dataset.path {path}: {', '.join(classes)} are no classes; call them train, val and test")
        found = {name: make_dataset(part, _same(part, numbers), IMG_EXTENSIONS) for name, part in parts.items()}
    except OSError as error:
        raise DataError(f"dataset.path {path}: {error}") from None
    images = Files([Path(file) for part in found.values() for file, _ in part], image_size, grayscale, root)
    labels = {name: [label for _, label in part] for name, part in found.items()}
    whole = Collection.of_parts(images, labels, classes)
    if tuple(parts) == ("all",):
        whole = replace(whole, official={})
    split = split or ("official" if whole.official else "80/10/10")
    return whole.arranged(keep=keep, split=split, validation=validation, split_seed=split_seed, fraction=fraction)


def _parts(root: Path) -> dict[str, Path]:
    """Split → its folder; all → `root` where its folders are the classes."""
    train, test, *others = (root / name for name in ("train", "test", "val", "valid", "validation"))
    validation = next(filter(Path.is_dir, others), None)
    if not train.is_dir() or not (test.is_dir() or validation):
        return {"all": root}
    if not test.is_dir():
        return {"train": train, "test": validation}
    return {"train": train, **({"validation": validation} if validation else {}), "test": test}


def _distinct(folders: Iterable[Path]) -> None:
    """Raise a DataError where links lead to a folder twice: its images would be in several splits."""
    seen: dict[str, str] = {}
    for folder in folders:
        for inside, _, _ in os.walk(folder, followlinks=True):
            if (first := seen.setdefault(os.path.realpath(inside), inside)) != inside:
                raise DataError(f"{inside} is the same folder as {first}; remove the link")


def _text(name: str) -> bool:
    return name.encode(errors="ignore").decode() == name


def _same(folder: Path, numbers: dict[str, int]) -> dict[str, int]:
    """The classes of `folder`, numbered as those of the train split.

    Raises:
        DataError: it has a class that the train split has not.
    """
    names, _ = find_classes(folder)
    if more := set(names) - set(numbers):
        raise DataError(f"{folder}: {', '.join(sorted(more))} has no folder among the training images")
    return {name: numbers[name] for name in names}
