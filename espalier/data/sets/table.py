from dataclasses import replace
from pathlib import Path

import numpy as np

from espalier.data import image_table
from espalier.data.folder_layout import ALL
from espalier.data.images import Files
from espalier.data.prepared import Dataset
from espalier.data.source_collection import Collection
from espalier.errors import DataError
from espalier.settings.registry import register
from espalier.settings.types import Classes, Count, FolderSplits, Folds, Fraction, Literal, Natural, Portion


@register("dataset", source="table")
def table(
    source: Path | None,
    *,
    file: str,
    image: str = "image",
    label: str = "label",
    split: Literal["80/10/10"] | Folds | str = "80/10/10",
    splits: FolderSplits | None = None,
    group: str | None = None,
    root: str = ".",
    ending: str = "",
    image_size: Count = 32,
    grayscale: bool = False,
    exif_orientation: bool = True,
    background: Literal["white", "gray", "black"] = "white",
    validation: Fraction = 0.1,
    split_seed: Natural = 0,
    fraction: Portion = 1.0,
    keep: Classes | None = None,
    duplicates: Literal["error", "drop", "keep"] = "error",
) -> Dataset:
    """Your own images, listed by a table (CSV, TSV or Parquet) with a row an image.

    Args:
        file: the table; a relative path lies in ESPALIER_DATA, or here where that is not set
        image: column of the images' files
        label: column of their classes
        split: column of their splits; or a stratified 80/10/10 of all images, or one fold of a cross-validation
        splits: split → what it is called in that column, one name or several; null for train, validation and test,
            and what else they are commonly called
        group: column of what the images show, such as a patient: where splits are drawn, all of a group are in one
        root: folder of the images' files, from that of the table on
        ending: what is added to each name in the column of files, such as .png
        image_size: height and width in pixels
        grayscale: turn colours to gray, which is one channel
        exif_orientation: turn photographs as their EXIF orientation says
        background: what shows where images are transparent
        validation: fraction of what is trained on that is set aside for validation; 80/10/10 has its own tenth
        split_seed: seed of the splits that are drawn, and of the fraction
        fraction: stratified part of the training images to use; validation and test stay whole
        keep: classes to use, by number or name, renumbered in this order; null for all
        duplicates: what becomes of images that are the same, pixel by pixel, in two splits; drop keeps the test image
    """
    path = (source or Path()) / file
    drawn = split == "80/10/10" or isinstance(split, Folds)
    try:
        names = {"image": image, "label": label, "split": None if drawn else split, "group": group}
        found = image_table.read(path, **names, splits=splits and splits.named())
        folder = path.parent / root
        places = [folder / f"{name}{ending}" for part in found.files.values() for name in part]
        images = Files(places, image_size, grayscale, folder, exif_orientation, background)
        whole = Collection.of_parts(images, found.labels, found.classes)
        groups = None if found.groups is None else np.asarray(found.groups)
        whole = replace(
            whole, groups=groups, group_names=found.group_names, **({"official": {}} if ALL in found.files else {})
        )
        chosen = split if drawn else "official"
        made = whole.arranged(keep=keep, split=chosen, validation=validation, split_seed=split_seed, fraction=fraction)
    except DataError as error:
        raise DataError(f"dataset.file {file}: {error}") from None
    return replace(made, duplicates=duplicates)
