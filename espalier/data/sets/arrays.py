import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from espalier.data.images import Arrays
from espalier.data.prepared import Dataset
from espalier.data.source_collection import Collection
from espalier.errors import DataError
from espalier.settings.registry import register
from espalier.settings.types import Classes, Count, Folds, Fraction, Literal, Natural, Portion

_PARTS = {"train": "train_", "validation": "val_", "test": "test_"}
"""Split → how the names of its arrays begin."""
_IMAGE_DIMS = (3, 4)


@register("dataset")
def arrays(
    source: Path | None,
    *,
    path: str,
    channels: Count,
    image_size: Count = 32,
    split: Literal["official", "80/10/10"] | Folds | None = None,
    validation: Fraction = 0.1,
    split_seed: Natural = 0,
    fraction: Portion = 1.0,
    keep: Classes | None = None,
    duplicates: Literal["error", "drop", "keep"] = "error",
) -> Dataset:
    """Your own images of any channels (depth, spectra, X-rays) as NumPy arrays in one .npz file.

    `images`, uint8 (N, H, W) or (N, H, W, C), and `labels`, whole numbers (N,) or (N, 1) from 0; or `train_images`,
    `train_labels`, `test_images`, `test_labels` and perhaps `val_images`, `val_labels`, as MedMNIST has them. `classes`
    may hold the names of the classes; they are called by their numbers otherwise.

    Args:
        path: path of the .npz file; a relative one starts at the folder that ESPALIER_DATA names, or at the current
            folder where that is not set
        channels: channels of the images, said here so that a plan is made without the file
        image_size: height and width in pixels
        split: official: the parts of the file as they are; 80/10/10: a stratified split of all images; or one fold of a
            cross-validation; null: official where the file has parts, 80/10/10 otherwise
        validation: fraction of the training images that is set aside for validation; leave it out with 80/10/10, which
            sets aside a tenth of all, and where the source has its own validation split
        split_seed: seed of the splits that are drawn, and of `fraction`
        fraction: part of the training images to use, stratified by class; validation and test stay whole
        keep: classes to use, by number or name; they are renumbered in this order; null for all
        duplicates: what to do where two splits have the same image, pixel by pixel. error: refuse the data; drop: keep
            it in one split only, test before validation before train; keep: keep all
    """
    file = (source or Path()) / path
    found = _read(file)
    names = {part: before for part, before in _PARTS.items() if f"{before}images" in found}
    names = names if {"train", "test"} <= names.keys() else {"all": ""}
    images = [_images(file, found, before, channels) for before in names.values()]
    if len({one.shape[1:] for one in images}) > 1:
        raise DataError(f"dataset.path {file}: the parts have images of several shapes; make them equal")
    labels = {part: _labels(file, found, names[part], len(own)) for part, own in zip(names, images, strict=True)}
    whole = Collection.of_parts(Arrays(np.concatenate(images), image_size), labels, _classes(file, found, labels))
    if names == {"all": ""}:
        whole = replace(whole, official={})
    split = split or ("official" if whole.official else "80/10/10")
    made = whole.arranged(keep=keep, split=split, validation=validation, split_seed=split_seed, fraction=fraction)
    return replace(made, duplicates=duplicates)


def _read(file: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            return dict(archive)
    # numpy takes a file that is no archive for a single array or a pickle; pickles are refused.
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"dataset.path {file}: cannot be read as .npz without pickles ({reason})") from None


def _array(file: Path, found: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in found:
        has = ", ".join(found) or "nothing"
        raise DataError(
            f"dataset.path {file}: has no array {name}, but {has}; name images and labels, see docs/data.md"
        )
    return found[name]


def _images(file: Path, found: Mapping[str, np.ndarray], before: str, channels: int) -> np.ndarray:
    """uint8 (N, H, W, C)"""
    name = f"{before}images"
    images = _array(file, found, name)
    if images.dtype != np.uint8:
        mend = "bring it to 8 bits from 0 to 255, which augmentations compute with"
        raise DataError(f"dataset.path {file}: {name} is {images.dtype}, not uint8; {mend}")
    if images.ndim not in _IMAGE_DIMS or not images.size:
        raise DataError(f"dataset.path {file}: {name} is {images.shape}; it must be (N, H, W) or (N, H, W, C)")
    images = images if images.ndim == max(_IMAGE_DIMS) else images[..., None]
    if (own := images.shape[3]) != channels:
        raise DataError(f"dataset.channels is {channels}, and {name} of {file} has {own}; set it to {own}")
    return images


def _labels(file: Path, found: Mapping[str, np.ndarray], before: str, count: int) -> np.ndarray:
    """int64 (N,)"""
    name = f"{before}labels"
    labels = _array(file, found, name)
    if labels.shape not in ((count,), (count, 1)) or labels.dtype.kind not in "iu":
        shown = f"{labels.dtype} {labels.shape}"
        raise DataError(f"dataset.path {file}: {name} is {shown}; {count} images need as many whole numbers")
    if labels.min() < 0:
        raise DataError(f"dataset.path {file}: {name} begins at {labels.min()}; number classes from 0")
    return labels.reshape(-1).astype(np.int64)


def _classes(file: Path, found: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    highest = max(int(part.max()) for part in labels.values())
    names = found.get("classes", np.arange(highest + 1))
    if names.ndim != 1 or len(names) <= highest or len({str(name) for name in names}) < len(names):
        raise DataError(f"dataset.path {file}: classes must be a name of its own for each label from 0 to {highest}")
    return tuple(str(name) for name in names)
