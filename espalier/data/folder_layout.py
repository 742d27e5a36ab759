"""Tells whether the folders of a data set are its classes, or splits that hold the classes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from espalier.counted import counted
from espalier.data.image_folders import ImageFolder, left_out_words
from espalier.errors import DataError
from espalier.settings.problems import unknown

SPLITS = ("train", "validation", "test")
_NAMES = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "tst"),
}
"""What splits are called in lower case."""

Parts = dict[str, tuple[ImageFolder, ...]]
"""Split → the folders that hold its classes."""
ALL = "all"


@dataclass(frozen=True)
class Layout:
    """Classes, and the folders of each in each split."""

    classes: tuple[str, ...]
    parts: Mapping[str, Sequence[tuple[int, ImageFolder]]]
    """split → (class, folder of its images); all → those of all, where the folders are no splits"""
    left_out: Mapping[str, int]
    """ending → files that are no images"""
    beside: int
    """images that lie in no folder of a class"""

    def counts(self) -> dict[str, list[int]]:
        """Split → images of each class."""
        found = {split: [0] * len(self.classes) for split in self.parts}
        for split, folders in self.parts.items():
            for number, one in folders:
                found[split][number] += len(one)
        return found


def layout(root: ImageFolder, splits: Mapping[str, tuple[str, ...]] | None) -> Layout:
    """Find the classes and splits of an image folder.

    Args:
        splits: split → names of its folders; empty if the folders are classes; None to go by the folders' names

    Raises:
        DataError: it is unclear whether the folders are classes or splits, there are no images, or fewer than two
            classes.
    """
    found = _parts(root, splits) or {ALL: (root,)}
    names = _classes(found)
    numbers = {name: number for number, name in enumerate(names)}
    if len(names) < 2:
        raise DataError(f"there is one class only, {names[0]}{_instead(root)}; a classifier needs two")
    parts = {
        split: [(numbers[name], one) for folder in folders for name, one in folder.folders.items() if name in numbers]
        for split, folders in found.items()
    }
    used = sum(len(one) for folders in parts.values() for _, one in folders)
    return Layout(names, parts, dict(root.all_left_out()), len(root) - used)


def _parts(root: ImageFolder, splits: Mapping[str, tuple[str, ...]] | None) -> Parts:
    """The splits of a folder; none where its folders are the classes."""
    filled = {name: one for name, one in root.folders.items() if len(one)}
    if splits:
        return _named(root, splits)
    if splits is None and (known := _known(filled)):
        return known
    if not filled:
        if root.images:
            held = counted(len(root.images), "image")
            raise DataError(f"it holds {held} and no folders; name the folder whose folders are classes")
        raise DataError(f"it holds no image{_instead(root)}; name a folder with one folder a class")
    if len(filled) == 1:
        ((name, only),) = filled.items()
        if below := [inside for inside, one in only.folders.items() if len(one)]:
            raise DataError(
                f"its one folder with images is {name}, which holds {', '.join(below[:5])}; name that one, "
                f"with /{name} behind the path"
            )
    if splits is None and (alike := _alike(filled)):
        shared, names = alike
        raise DataError(
            f"its folders {', '.join(names)} hold folders of the same names ({', '.join(shared[:3])}), as splits do. "
            "Say which is which, splits: {train: NAME, test: NAME}; or that all are classes, splits: {}"
        )
    return {}


def _classes(found: Parts) -> tuple[str, ...]:
    """The names of the classes, sorted: those of the training images."""
    first, *others = found
    # A folder whose files are all no readable images is still a class, without images.
    names = {name for folder in found[first] for name, one in folder.folders.items() if len(one) or one.all_left_out()}
    for split in others:
        for folder in found[split]:
            if more := {name for name, one in folder.folders.items() if len(one)} - names:
                raise DataError(
                    f"{', '.join(sorted(more))} in {folder.path.name} is no class of the training images, which are "
                    f"{', '.join(sorted(names)[:10])}; names must be spelled alike"
                )
    if odd := [name for name in names if name.encode(errors="ignore").decode() != name]:
        raise DataError(f"the name of class {odd[0]!r} is not UTF-8; rename its folder")
    return tuple(sorted(names))


def split_called(name: str) -> str | None:
    """The split that is commonly called so; None where none is."""
    return next((split for split, names in _NAMES.items() if name.lower() in names), None)


def _named(root: ImageFolder, splits: Mapping[str, tuple[str, ...]]) -> Parts:
    for name in (name for names in splits.values() for name in names):
        if name not in root.folders:
            raise DataError(f"splits: {unknown('folder', name, root.folders)}")
    return _complete(
        {split: tuple(root.folders[name] for name in splits[split]) for split in SPLITS if split in splits}
    )


def _known(filled: Mapping[str, ImageFolder]) -> Parts | None:
    """The splits of folders that are called as splits are; None where there is no training and another one."""
    found: dict[str, list[str]] = {split: [] for split in SPLITS}
    others = []
    for name in filled:
        split = split_called(name)
        (others if split is None else found[split]).append(name)
    if not found["train"] or not (found["validation"] or found["test"]):
        return None
    said = ", ".join(f"{split}: {names[0]}" for split, names in found.items() if names)
    for split, names in found.items():
        if len(names) > 1:
            raise DataError(
                f"{' and '.join(names)} both look like {split}. Say which is used: splits: {{{said}}}; or both: "
                f"{split}: [{', '.join(names)}]"
            )
    if others:
        raise DataError(
            f"{', '.join(others)} beside {found['train'][0]} is no split that is known. Say what is used: "
            f"splits: {{{said}}}; a list, [{found['train'][0]}, {others[0]}], joins folders"
        )
    return _complete({split: (filled[names[0]],) for split, names in found.items() if names})


def _complete(found: Parts) -> Parts:
    """The splits, each with its classes; where there is no test split, validation is it."""
    if "train" not in found or len(found) < 2:
        raise DataError("splits needs train and test; leave it out to draw splits from all images")
    for folder in (folder for folders in found.values() for folder in folders):
        if not any(map(len, folder.folders.values())):
            raise DataError(
                f"{folder.path.name} holds {len(folder.images)} images and no folders of classes, so their classes are "
                "not known. Put each into a folder of its class, or list all in a file: dataset: {name: table, file: …}"
            )
    if "test" not in found:
        return {"train": found["train"], "test": found["validation"]}
    return found


def _alike(filled: Mapping[str, ImageFolder]) -> tuple[list[str], list[str]] | None:
    """Names that stand in several folders which have no images of their own, and those folders."""
    inside = {
        name: {below for below, one in folder.folders.items() if len(one)}
        for name, folder in filled.items()
        if not folder.images
    }
    times = Counter(below for names in inside.values() for below in names)
    shared = sorted(name for name, count in times.items() if count > 1)
    return (shared, [name for name, names in inside.items() if names & set(shared)]) if shared else None


def _instead(root: ImageFolder) -> str:
    counts = root.all_left_out()
    return f" (left out: {left_out_words(counts)})" if counts else ""
