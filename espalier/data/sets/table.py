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
    """Your own images, listed by a table (CSV, TSV or Parquet) with a row for each image.

    Args:
        file: path of the table; a relative one starts at the folder that ESPALIER_DATA names, or at the current folder
            where that is not set
        image: column with the image files
        label: column with the classes
        split: column with the splits; or 80/10/10, a stratified split of all images; or one fold of a cross-validation
        splits: what each split is called in that column, one name or several; null: train, validation, test and other
            common names of them
        group: column with the group of each image, such as its patient: all images of a group come into the same split
            where splits are drawn
        root: folder of the image files, relative to the folder of the table
        ending: text added to each name in the column of image files, such as .png
        image_size: height and width in pixels
        grayscale: make images gray, with one channel
        exif_orientation: rotate photographs as their EXIF orientation says
        background: colour behind images where they are transparent
        validation: fraction of the training images that is set aside for validation; leave it out with 80/10/10, which
            sets aside a tenth of all, and where the source has its own validation split
        split_seed: seed of the splits that are drawn, and of `fraction`
        fraction: part of the training images to use, stratified by class; validation and test stay whole
        keep: classes to use, by number or name; they are renumbered in this order; null for all
        duplicates: what to do where two splits have the same image, pixel by pixel. error: refuse the data; drop: keep
            it in one split only, test before validation before train; keep: keep all
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
