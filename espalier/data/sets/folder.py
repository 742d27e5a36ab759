import logging
from dataclasses import replace
from pathlib import Path

from espalier.counted import counted
from espalier.data.folder_layout import ALL, layout
from espalier.data.image_folders import listed
from espalier.data.images import Files
from espalier.data.prepared import Dataset
from espalier.data.source_collection import Collection
from espalier.errors import DataError
from espalier.settings.registry import register
from espalier.settings.types import Classes, Count, FolderSplits, Folds, Fraction, Literal, Natural, Portion

log = logging.getLogger("espalier")


@register("dataset", source="folder")
def folder(
    source: Path | None,
    *,
    path: str,
    image_size: Count = 32,
    grayscale: bool = False,
    exif_orientation: bool = True,
    background: Literal["white", "gray", "black"] = "white",
    splits: FolderSplits | None = None,
    split: Literal["official", "80/10/10"] | Folds | None = None,
    validation: Fraction = 0.1,
    split_seed: Natural = 0,
    fraction: Portion = 1.0,
    keep: Classes | None = None,
    duplicates: Literal["error", "drop", "keep"] = "error",
) -> Dataset:
    """Your own images, one folder a class; or one folder a split with one folder a class in each.

    Folders called train and test, or validation, are splits; a validation folder beside them is the validation split,
    and without test it is the test split, and the validation split is cut from train.

    Args:
        path: folder of the images; a relative path starts at the folder that ESPALIER_DATA names, or at the current
            folder where that is not set
        image_size: height and width in pixels
        grayscale: make images gray, with one channel
        exif_orientation: rotate photographs as their EXIF orientation says
        background: colour behind images where they are transparent
        splits: which folder, or folders, each split has; {}: folders named like splits are classes; null: splits are
            told by the names of folders
        split: official: the splits that the folders are; 80/10/10: a stratified split of all images; or one fold of a
            cross-validation; null: official where folders are splits, 80/10/10 otherwise
        validation: fraction of the training images that is set aside for validation; leave it out with 80/10/10, which
            sets aside a tenth of all, and where the source has its own validation split
        split_seed: seed of the splits that are drawn, and of `fraction`
        fraction: part of the training images to use, stratified by class; validation and test stay whole
        keep: classes to use, by number or name; they are renumbered in this order; null for all
        duplicates: what to do where two splits have the same image, pixel by pixel. error: refuse the data; drop: keep
            it in one split only, test before validation before train; keep: keep all
    """
    root = (source or Path()) / path
    try:
        found = layout(listed(root), None if splits is None else splits.named())
        files = {
            name: [(file, number) for number, one in folders for file in one.files()]
            for name, folders in found.parts.items()
        }
        places = [file for part in files.values() for file, _ in part]
        images = Files(places, image_size, grayscale, root, exif_orientation, background)
        labels = {name: [number for _, number in part] for name, part in files.items()}
        whole = Collection.of_parts(images, labels, found.classes)
        if ALL in files:
            whole = replace(whole, official={})
        split = split or ("official" if whole.official else "80/10/10")
        made = whole.arranged(keep=keep, split=split, validation=validation, split_seed=split_seed, fraction=fraction)
    except DataError as error:
        raise DataError(f"dataset.path {path}: {error}") from None
    if found.beside:
        left_out = counted(found.beside, "image is", "images are")
        log.warning("%s left out, in no folder of a class", left_out)
    return replace(made, duplicates=duplicates, left_out=found.left_out)
