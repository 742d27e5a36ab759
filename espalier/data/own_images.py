"""Classes of a user's own images, and their number in each split, known before any image is read.

Neither torch nor Pillow is imported, so that making a plan stays fast.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from espalier.data.class_counts import check
from espalier.data.folder_layout import ALL, layout
from espalier.data.image_folders import listed
from espalier.errors import DataError
from espalier.files import write_text

LEAST = 3
"""Images that a class needs to be in three splits."""


@dataclass(frozen=True)
class Source:
    """Classes, and images of each: in each split, or under `all` where splits are drawn."""

    classes: tuple[str, ...]
    counts: Mapping[str, Sequence[int]]

    def keeping(self, keep: Sequence[int | str] | None) -> "Source":
        """That of some classes, by their numbers or names."""
        if keep is None:
            return self
        places = [self.classes.index(one) if isinstance(one, str) else one for one in keep if self._has(one)]
        counts = {split: [own[place] for place in places] for split, own in self.counts.items()}
        return Source(tuple(self.classes[place] for place in places), counts)

    def _has(self, one: int | str) -> bool:
        return one in self.classes if isinstance(one, str) else one < len(self.classes)


def of_folder(root: Path, settings: Mapping[str, Any], cache: Path) -> Source:
    """What a folder of images holds; listed again only where a folder in it has changed since `cache` was written.

    Args:
        root: the folder that relative paths start from
        settings: those of the data set

    Raises:
        DataError: the folder is not there, misleads, or a class has too few images for its splits.
    """
    path = settings["path"]
    try:
        if (known := _cached(cache)) is None:
            folder = listed(root / path)
            splits = settings["splits"]
            found = layout(folder, None if splits is None else splits.named())
            counts = found.counts()
            if settings["split"] not in (None, "official"):
                counts = {ALL: [sum(own) for own in zip(*counts.values(), strict=True)]}
            known = Source(found.classes, counts)
            _remember(cache, known, [one.path for one in folder.all_folders()])
        return _enough(known.keeping(settings["keep"]))
    except DataError as error:
        raise DataError(f"dataset.path {path}: {error}") from None


def of_table(root: Path, settings: Mapping[str, Any], cache: Path) -> Source:
    """What a table of images lists; read again only where it has changed since `cache` was written.

    Args:
        root: the folder that relative paths start from
        settings: those of the data set

    Raises:
        DataError: the table is not there, no such table, or a class has too few images for its splits.
    """
    from espalier.data import image_table

    file, split, splits = (settings[key] for key in ("file", "split", "splits"))
    try:
        if (known := _cached(cache)) is None:
            drawn = not isinstance(split, str) or split == "80/10/10"
            names = {key: settings[key] for key in ("image", "label", "group")} | {"split": None if drawn else split}
            found = image_table.read(root / file, **names, splits=splits and splits.named())
            known = Source(found.classes, found.counts())
            _remember(cache, known, [root / file])
        return _enough(known.keeping(settings["keep"]))
    except DataError as error:
        raise DataError(f"dataset.file {file}: {error}") from None


READERS = {"folder": of_folder, "table": of_table}
"""Fact `source` of a data set → what knows of its images."""


def _enough(source: Source) -> Source:
    if ALL not in source.counts:
        check(source.counts, source.classes)
        return source
    few = [f"{name} ({count})" for name, count in zip(source.classes, source.counts[ALL], strict=True) if count < LEAST]
    if few:
        raise DataError(
            f"too few images of {', '.join(few)}: train, validation and test need one each. Add images, or leave the "
            "class out with dataset.keep"
        )
    return source


def _cached(cache: Path) -> Source | None:
    try:
        found = json.loads(cache.read_text())
        if any(Path(path).stat().st_mtime_ns != changed for path, changed in found["changed"].items()):
            return None
        return Source(tuple(found["source"]["classes"]), found["source"]["counts"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(cache: Path, source: Source, paths: Sequence[Path]) -> None:
    changed = {str(path): path.stat().st_mtime_ns for path in paths}
    write_text(cache, json.dumps({"source": asdict(source), "changed": changed}))
