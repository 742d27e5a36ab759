"""The prepared data set: one safetensors file that every run maps instead of reading images again.

The file holds `images` in channels-last memory order (the order training uses; on a CPU the data path would
otherwise spend half its time transposing), `labels`, and `indices` (each image's place in its source), in the
order train, validation, test, so that a split is a slice; under the protocol `published` the validation split is the
test split's slice, and the metadata say so. Its metadata holds the class names, channel mean and
std of the train split, the data set's settings, and a SHA-256 over all of it; of a source whose images are files that
a user knows, also the names of the test images' files. The same images and settings give the same bytes.
"""

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from espalier.counted import counted
from espalier.data import class_counts, header
from espalier.data import duplicates as copying
from espalier.data.images import Files, Images
from espalier.data.pixel_writing import fill, moments, thin
from espalier.data.safetensors_stream import Content, save
from espalier.errors import DataError
from espalier.files import replacing

log = logging.getLogger("espalier")

SPLITS = ("train", "validation", "test")
VERSION = 1
_TENSORS = {"images": torch.uint8, "labels": torch.int64, "indices": torch.int64}


@dataclass(frozen=True)
class Dataset:
    """A data set as its source gives it."""

    images: Tensor | Images
    """uint8 (N, C, H, W), in memory or made when they are written"""
    labels: Tensor
    """int64 (N,), indices into `classes`; of images in no split, anything"""
    splits: Mapping[str, Tensor]
    """Split → int64 indices of its images; images in no split are left out."""
    classes: tuple[str, ...]
    protocol: Literal["clean", "published"] = "clean"
    """published where the validation split is the test split, stored once; see `splits.published`"""
    duplicates: copying.Policy = "keep"
    """what becomes of images that are the same in two splits"""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """ending → files of the source that are no images"""

    @property
    def stored(self) -> tuple[str, ...]:
        """The splits that have images of their own, in their order."""
        return _stored(self.protocol)


@dataclass(frozen=True)
class Split:
    """Images of one split, as views of the mapped file."""

    images: Tensor
    """uint8 (n, C, H, W), channels-last in memory"""
    labels: Tensor
    """int64 (n,)"""
    indices: Tensor
    """int64 (n,), each image's place in its source"""
    files: tuple[str, ...] = ()
    """each image's file, below the folder of its source; of the test split alone, and empty where there are none"""


def _stored(protocol: str) -> tuple[str, ...]:
    return SPLITS if protocol == "clean" else ("train", "test")


def _checked(dataset: Dataset) -> Tensor:
    """The indices of all stored splits, one after the other."""
    images, labels = dataset.images, dataset.labels
    if isinstance(images, Tensor) and (images.dtype != torch.uint8 or images.ndim != 4):
        raise DataError(f"images must be uint8 (N, C, H, W), not {images.dtype} {tuple(images.shape)}")
    if set(dataset.splits) != set(SPLITS):
        raise DataError(f"splits must be {', '.join(SPLITS)}, not {', '.join(dataset.splits) or 'none'}")
    if empty := [name for name in SPLITS if not len(dataset.splits[name])]:
        raise DataError(f"the {empty[0]} split is empty")
    if dataset.protocol == "published" and not torch.equal(dataset.splits["validation"], dataset.splits["test"]):
        raise DataError("under the protocol published the validation split must be the test split")
    indices = torch.cat([dataset.splits[name] for name in dataset.stored]).to(torch.int64)
    if len(indices.unique()) != len(indices):
        raise DataError("an image is in two splits, or twice in one")
    count = images.shape[0]
    if indices.min() < 0 or indices.max() >= count or len(labels) != count:
        raise DataError(f"{count} images, {len(labels)} labels, split indices up to {int(indices.max())}")
    labels = labels[indices]
    if labels.min() < 0 or labels.max() >= len(dataset.classes):
        raise DataError(f"labels reach {int(labels.max())}, of {counted(len(dataset.classes), 'class', 'classes')}")
    return indices


def _checksum(metadata: Mapping[str, Any], contents: Mapping[str, Content]) -> str:
    described = {key: value for key, value in metadata.items() if key != "checksum"}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in _TENSORS:
        digest.update(f"{name} {contents[name].dtype} {contents[name].shape}".encode())
        for piece in contents[name].pieces():
            digest.update(piece)
    return digest.hexdigest()


def write(path: Path, dataset: Dataset, settings: Mapping[str, Any], threads: int = 1) -> dict[str, Any]:
    """Write the prepared file of `dataset`, made with `settings`, in one rename, and return its metadata.

    Images are made by `threads` threads into a file without a name, which vanishes with the process.

    Raises:
        DataError: splits are missing, empty or overlap, labels do not fit images or classes, images are unreadable, or
            there is no room for the file, of which two copies exist for a moment.
    """
    try:
        return _written(Path(path), dataset, settings, threads)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}") from None


def _written(path: Path, dataset: Dataset, settings: Mapping[str, Any], threads: int) -> dict[str, Any]:
    indices = _checked(dataset)
    _, channels, height, width = dataset.images.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent) as pixels:
        trained = len(dataset.splits["train"])
        values, digests = fill(pixels, dataset.images, indices.numpy(), trained, threads)
        kept = copying.distinct(dataset, indices.numpy(), digests)
        if not kept.all():
            values -= thin(pixels, kept, (height, width, channels), trained)
            dataset, indices = _thinned(dataset, kept), indices[torch.from_numpy(kept)]
        mean, std = moments(values)
        contents = {
            "images": Content.of_file(pixels, torch.uint8, (len(indices), height, width, channels)),
            "labels": Content.of(dataset.labels[indices].to(torch.int64)),
            "indices": Content.of(indices),
        }
        metadata = {
            "version": VERSION,
            "settings": dict(settings),
            "classes": list(dataset.classes),
            "sizes": {name: len(dataset.splits[name]) for name in SPLITS},
            "counts": _counts(dataset),
            "mean": mean,
            "std": std,
        }
        if dataset.left_out:
            metadata["left_out"] = dict(dataset.left_out)
        if dataset.protocol != "clean":
            metadata["protocol"] = dataset.protocol
        if isinstance(dataset.images, Files) and (names := dataset.images.names(dataset.splits["test"].tolist())):
            metadata["test_files"] = names
        # Through JSON once, so that what is hashed here is what a reader will hash (tuples become lists).
        metadata = json.loads(json.dumps(metadata))
        metadata["checksum"] = _checksum(metadata, contents)
        with replacing(path) as temporary:
            save(temporary, contents, {header.KEY: json.dumps(metadata, sort_keys=True)})
    return metadata


def _counts(dataset: Dataset) -> dict[str, list[int]]:
    splits = {name: part.numpy() for name, part in dataset.splits.items()}
    return class_counts.by_split(dataset.labels.numpy(), splits, len(dataset.classes))


def _thinned(dataset: Dataset, kept: np.ndarray) -> Dataset:
    """The data set without some of its stored images."""
    ends = np.cumsum([len(dataset.splits[name]) for name in dataset.stored])[:-1]
    parts = zip(dataset.stored, np.split(kept, ends), strict=True)
    splits = {name: dataset.splits[name][torch.from_numpy(part)] for name, part in parts}
    splits.setdefault("validation", splits["test"])
    thinned = replace(dataset, splits={name: splits[name] for name in SPLITS})
    class_counts.check(_counts(thinned), dataset.classes)
    return thinned


@dataclass(frozen=True)
class Prepared:
    """The asked splits of a prepared file, mapped: processes that read the same file share its pages."""

    path: Path
    splits: Mapping[str, Split]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    settings: Mapping[str, Any]
    checksum: str
    protocol: str = "clean"
    sizes: Mapping[str, int] = field(default_factory=dict)
    """split → its images, of all splits"""

    @property
    def channels(self) -> int:
        """Of its images."""
        return next(iter(self.splits.values())).images.shape[1]

    @classmethod
    def read(cls, path: Path, splits: Iterable[str] = ("train", "validation")) -> "Prepared":
        """Map a prepared file, verify its checksum and hand out `splits`; test is for `evaluate` alone.

        Of a file of the protocol `published` the validation split is the test split.

        Raises:
            DataError: the file is missing, damaged, of another version, or no prepared data set.
        """
        path = Path(path)
        if unknown := set(splits) - set(SPLITS):
            raise ValueError(f"no split {sorted(unknown)}; the splits are {', '.join(SPLITS)}")
        metadata, tensors = _mapped(path)
        protocol = metadata.get("protocol", "clean")
        if protocol != "clean" and "validation" in splits:
            log.warning("the validation split is the test split (protocol: %s): accuracies are optimistic", protocol)
        starts, start = {}, 0
        for name in _stored(protocol):
            starts[name] = slice(start, start := start + metadata["sizes"][name])
        starts.setdefault("validation", starts["test"])
        images = tensors["images"].permute(0, 3, 1, 2)
        return cls(
            path=path,
            splits={
                name: Split(
                    *(tensor[starts[name]] for tensor in (images, tensors["labels"], tensors["indices"])),
                    tuple(metadata.get("test_files", ())) if name == "test" else (),
                )
                for name in splits
            },
            classes=tuple(metadata["classes"]),
            mean=tuple(metadata["mean"]),
            std=tuple(metadata["std"]),
            settings=metadata["settings"],
            checksum=metadata["checksum"],
            protocol=protocol,
            sizes=metadata["sizes"],
        )


def _mapped(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    def bad(what: str) -> DataError:
        return DataError(f"{path}: {what}. Make it again: snakemake --cores 1 --force {path}")

    if not path.is_file():
        raise bad("there is no such file")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            said = (file.metadata() or {}).get(header.KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
        metadata = None if said is None else json.loads(said)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise bad(f"not a readable safetensors file, perhaps cut short ({error})") from None
    if not isinstance(metadata, dict):
        raise bad("not a prepared data set of Espalier")
    if metadata.get("version") != VERSION:
        raise bad(f"of format version {metadata.get('version')!r}, where this Espalier reads {VERSION}")
    if {name: tensor.dtype for name, tensor in tensors.items()} != _TENSORS:
        raise bad("damaged: its tensors are not images, labels and indices")
    contents = {name: Content.of(tensor) for name, tensor in tensors.items()}
    # The text as well: two spellings of a number can be one float.
    if said != json.dumps(metadata, sort_keys=True) or _checksum(metadata, contents) != metadata.get("checksum"):
        raise bad("damaged: its content does not match its checksum")
    return metadata, tensors
