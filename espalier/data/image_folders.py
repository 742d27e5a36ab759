"""What a folder of images holds: its folders and images, and what is neither."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from espalier.errors import DataError

READ = frozenset(
    (".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
"""Endings of image files that Pillow reads."""
_PHONE = frozenset((".heic", ".heif"))
"""Those that pillow-heif reads, where it is installed."""
_SYSTEM = frozenset(
    (
        "__macosx",
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
    )
)
"""What operating systems and storage devices leave in folders, in lower case."""


@dataclass(frozen=True)
class ImageFolder:
    """A folder, all that it holds, and how often files were left out, by their endings."""

    path: Path
    images: tuple[str, ...] = ()
    """names of the images directly in it, sorted"""
    folders: Mapping[str, "ImageFolder"] = field(default_factory=dict)
    """its folders by name, sorted; those that hold no file at all among them"""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """ending in lower case → files directly in it that are no images"""

    def __len__(self) -> int:
        return len(self.images) + sum(map(len, self.folders.values()))

    def files(self) -> list[Path]:
        """All images in it and below, in the order of torchvision's `ImageFolder`."""
        inside = sorted(self.all_folders(), key=lambda one: str(one.path))
        return [one.path / name for one in inside for name in one.images]

    def all_left_out(self) -> Counter[str]:
        """Ending → files in it and below that are no images."""
        return sum((Counter(one.left_out) for one in self.all_folders()), Counter())

    def all_folders(self) -> Iterator["ImageFolder"]:
        """It and all folders in it and below."""
        yield self
        for one in self.folders.values():
            yield from one.all_folders()


def listed(root: Path) -> ImageFolder:
    """What `root` holds. What systems leave behind, and names that begin with a dot, are neither images nor folders.

    Raises:
        DataError: the folder is not there, cannot be read, or links lead to a folder twice.
    """
    try:
        return _listed(root, {})
    except OSError as error:
        place = "" if error.filename in (None, str(root), root) else f"{error.filename}: "
        raise DataError(f"{place}{error.strerror or error}") from None


def endings() -> frozenset[str]:
    """Endings, in lower case, of files that are read."""
    return READ | _PHONE if _heif() else READ


def left_out_words(counts: Mapping[str, int]) -> str:
    """What was left out, in words: "4 .heic, 1 .txt"."""
    found = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    words = ", ".join(f"{count} {ending or 'without ending'}" for ending, count in found)
    return words + (" (pip install pillow-heif to read .heic)" if _PHONE & counts.keys() else "")


def _listed(folder: Path, seen: dict[str, Path]) -> ImageFolder:
    # Images that links lead to twice would be in several splits.
    if (first := seen.setdefault(os.path.realpath(folder), folder)) != folder:
        raise DataError(f"{folder} is the same folder as {first}; remove the link")
    images, folders, others = [], [], Counter()
    with os.scandir(folder) as entries:
        for entry in entries:
            if _foreign(entry.name):
                continue
            if entry.is_dir():
                folders.append(entry.name)
            elif (ending := Path(entry.name).suffix.lower()) in endings():
                images.append(entry.name)
            else:
                others[ending] += 1
    inside = {name: _listed(folder / name, seen) for name in sorted(folders)}
    return ImageFolder(folder, tuple(sorted(images)), inside, dict(others))


def _foreign(name: str) -> bool:
    return name.startswith((".", "~$")) or name.lower() in _SYSTEM


@cache
def _heif() -> bool:
    """Whether Pillow can read .heic; makes it able to where pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True
