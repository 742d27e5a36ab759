"""Count networks for budgets: JSON list of [model, classes, image size] on stdin, list of {params, macs} on stdout."""

import json
import sys

import torch
from pydantic import TypeAdapter

from espalier.measure import cost
from espalier.registry import choice


def main() -> None:
    choices = TypeAdapter(choice("model"))
    rows = []
    for model, classes, image_size in json.load(sys.stdin):
        # Counting needs shapes alone: nothing is allocated on the meta device.
        with torch.device("meta"):
            network = choices.validate_python(model).build(classes, image_size)
        rows.append({"params": cost.params(network), "macs": cost.macs(network, image_size)})
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    main()
