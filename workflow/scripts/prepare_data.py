"""Write a data set as one prepared file: prepare_data.py OUTPUT.safetensors dataset.name=digits [key=value ...]"""

import argparse
import os
from pathlib import Path

from espalier.errors import Mistake
from espalier.plan.settings import parse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="prepared file to write")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings of the data set")
    arguments = parser.parse_args()
    source = os.environ.get("ESPALIER_DATA")
    try:
        spec = parse("prepare", arguments.settings)
        from espalier.data.prepared import SPLITS, Prepared, write

        dataset = spec.dataset.build(Path(source) if source else None)
        write(arguments.output, dataset, spec.dataset.model_dump(mode="json"))
        prepared = Prepared.read(arguments.output)
    except Mistake as error:
        raise SystemExit(f"error: {error}") from None
    sizes = ", ".join(f"{len(dataset.splits[name])} {name}" for name in SPLITS)
    print(f"{arguments.output}: {sizes} images of {tuple(dataset.images.shape[1:])}, {len(prepared.classes)} classes")
    print(f"mean {prepared.mean}, std {prepared.std} of the train split; sha256 {prepared.checksum}")


if __name__ == "__main__":
    main()
