"""The prepare stage: a data set as one file, which every run maps."""

import logging
import os
import signal
import sys
from pathlib import Path

from espalier.counted import counted
from espalier.data import stated
from espalier.errors import DataError, Mistake
from espalier.files import leftovers
from espalier.runs.owner import name_for, owning
from espalier.settings.registry import Spec, choice
from espalier.settings.types import Protocol
from espalier.stages.definition import Misfits, stage

log = logging.getLogger("espalier")


class PrepareStage(Spec):
    """A data set as one file: images, labels, splits, class names, statistics."""

    dataset: choice("dataset")
    """data set, by name or with its settings"""
    protocol: Protocol = "clean"
    """which images choices are made on, such as that of the best epoch. clean: validation images, set aside from
    training; published: the test split, as many reports do, with all other images to train on, so that accuracies are
    optimistic"""


def _misfits(settings: PrepareStage) -> Misfits:
    if settings.protocol == "published" and getattr(settings.dataset, "fraction", 1.0) < 1:
        yield "protocol", "published trains on all images outside the test split; leave dataset.fraction out"


@stage(place=0, settings=PrepareStage, reads="source", slug=lambda spec: spec.dataset.name, misfits=_misfits)
def prepare(output: Path, spec: PrepareStage, threads: int) -> None:
    """Write a data set as one prepared file.

    ESPALIER_DATA names the folder of the original files. Without them, they are fetched into it, or into
    results/downloads.

    Args:
        threads: threads that decode and resize; the file is the same
    """
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S", level=logging.INFO)
    # An exit, unlike the signal's own end, removes the temporary file.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    source = os.environ.get("ESPALIER_DATA")
    dataset = spec.dataset
    try:
        from espalier.data import class_counts
        from espalier.data.image_folders import left_out_words
        from espalier.data.prepared import write
        from espalier.data.splits import published

        with owning(output.parent, name=name_for(output)):
            for left in leftovers(output.parent, output.name):
                left.unlink()
            images = dataset.build(Path(source) if source else None)
            if (own := images.images.shape[1]) != (said := stated.channels(dataset)):
                mend = f"register it with the fact channels={own}, or a setting of that name"
                raise DataError(
                    f"dataset {dataset.name} states {counted(said, 'channel')}, and its images have {own}; {mend}"
                )
            if spec.protocol == "published":
                images = published(images)
            metadata = write(output, images, dataset.model_dump(mode="json"), threads)
    except Mistake as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    sizes = ", ".join(f"{size} {name}" for name, size in metadata["sizes"].items())
    if spec.protocol == "published":
        print("the validation split is the test split (protocol: published): accuracies are optimistic")
    print(f"{output}: {sizes} images of {tuple(images.images.shape[1:])}, {len(metadata['classes'])} classes")
    if getattr(dataset, "exif_orientation", False):
        print("photographs are turned as their EXIF orientation says (dataset.exif_orientation)")
    if left_out := metadata.get("left_out"):
        print(f"left out, since they are no images: {left_out_words(left_out)}")
    for line in class_counts.words(metadata["counts"], metadata["classes"]):
        print(line)
    if (tested := metadata["sizes"]["test"]) < class_counts.FEW:
        log.warning("few test images: %s", class_counts.resolution(tested))
    print(f"sha256 {metadata['checksum']}")
    print(f"mean {_numbers(metadata['mean'])}, std {_numbers(metadata['std'])} of the train split")
    if known := dataset.entry().facts.get("published"):
        print(f"mean {_numbers(known['mean'])}, std {_numbers(known['std'])} published, of all training images")


def _numbers(values: list[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)
