"""Write a data set as one prepared file: prepare_data.py OUTPUT.safetensors dataset.name=digits [key=value ...]

ESPALIER_DATA names the folder of the original files. Without them, they are fetched into it, or into results/downloads.
"""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from espalier.errors import Mistake
from espalier.settings.words import parse
from espalier.site.process import importing, run, spare_compiler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="prepared file to write")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings of the data set")
    parser.add_argument("--threads", type=int, default=1, help="threads that decode and resize; the file is the same")
    arguments = parser.parse_intermixed_args()
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S", level=logging.INFO)
    # An exit, unlike the signal's own end, removes the temporary file.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    source = os.environ.get("ESPALIER_DATA")
    try:
        spec = parse("prepare", arguments.settings)
        dataset = spec.dataset
        # Most data sets are read by torchvision.
        spare_compiler()
        with importing():
            from espalier.data.prepared import write

        images = dataset.build(Path(source) if source else None)
        if spec.protocol == "published":
            from espalier.data.protocol import published as as_published

            images = as_published(images)
        metadata = write(arguments.output, images, dataset.model_dump(mode="json"), arguments.threads)
    except Mistake as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    sizes = ", ".join(f"{size} {name}" for name, size in metadata["sizes"].items())
    if spec.protocol == "published":
        print("the validation split is the test split (protocol: published): accuracies are optimistic")
    shape = tuple(images.images.shape[1:])
    print(f"{arguments.output}: {sizes} images of {shape}, {len(metadata['classes'])} classes")
    print(f"sha256 {metadata['checksum']}")
    print(f"mean {_numbers(metadata['mean'])}, std {_numbers(metadata['std'])} of the train split")
    if published := dataset.entry().facts.get("published"):
        print(f"mean {_numbers(published['mean'])}, std {_numbers(published['std'])} published, of all training images")


def _numbers(values: list[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)


if __name__ == "__main__":
    run(main)
