"""The class of every image in a folder, as a CSV, in bounded memory; or of a pickled batch, as competitions ask."""

import csv
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from espalier.data import pickled_batch
from espalier.errors import DataError, Mistake
from espalier.files import replacing
from espalier.networks.classifier import Classifier, load

COLUMNS = ("file", "label", "probability", "error")
SUBMISSION = ("ID", "Labels")
"""Columns of an answer to a pickled batch: an image's id, and the number of its class from 0."""


@dataclass(frozen=True)
class ClassifiedFolder:
    """What became of the files of a folder."""

    images: int
    unreadable: int
    per_second: float


def classify(run: Path, images: Path, output: Path, *, strict: bool) -> ClassifiedFolder:
    """Classify images and write a CSV: a row each with its file, class and probability, or why it cannot be read.

    For a pickled batch a row has the id of the image and the number of its class.

    Args:
        run: folder of a run, or a coded file
        images: an image, a folder, or a pickled batch (.pkl, .pickle)
        strict: stop at a file that cannot be read, and write no table

    Raises:
        Mistake: there is no such network or no image; with `strict`, a file cannot be read.
    """
    from tqdm import tqdm

    network = load(run)
    if images.suffix in pickled_batch.SUFFIXES:
        return _classify_batch(network, images, output)
    files = [images] if images.is_file() else sorted(_images(images))
    if not files:
        raise Mistake(f"{images}: holds no image")
    begun, unreadable = time.perf_counter(), 0
    with replacing(output) as temporary, temporary.open("w", newline="", encoding="utf-8") as table:
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(COLUMNS)
        answers = network.stream(iter(files), strict=strict)
        for file, found in tqdm(answers, total=len(files), unit="image", disable=not sys.stderr.isatty()):
            if isinstance(found, DataError):
                unreadable += 1
                print(f"error: {found}", file=sys.stderr)
                rows.writerow((file, "", "", found))
            else:
                rows.writerow((file, found.label, found.probability, ""))
    return ClassifiedFolder(len(files), unreadable, len(files) / (time.perf_counter() - begun))


def _classify_batch(network: Classifier, batch: Path, output: Path) -> ClassifiedFolder:
    begun, (images, ids) = time.perf_counter(), pickled_batch.read(batch)
    numbers = {name: number for number, name in enumerate(network.feed.classes)}
    with replacing(output) as temporary, temporary.open("w", newline="", encoding="utf-8") as table:
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(SUBMISSION)
        answers = network.stream(iter(images))
        rows.writerows((id_, numbers[found.label]) for id_, (_, found) in zip(ids, answers, strict=True))
    return ClassifiedFolder(len(images), 0, len(images) / (time.perf_counter() - begun))


def _images(folder: Path) -> Iterator[Path]:
    """Files below a folder whose names end as those of images do."""
    from torchvision.datasets.folder import IMG_EXTENSIONS

    if not folder.is_dir():
        raise Mistake(f"{folder}: there is no such file or folder")
    yield from (path for path in folder.rglob("*") if path.suffix.lower() in IMG_EXTENSIONS and path.is_file())
