"""Count networks at plan time: JSON list of [model, classes, image size, pruning or null] on stdin; on stdout a list of
{params, macs}, or {error} for a network that cannot be built or pruned so."""

import json
import sys

from espalier.errors import Mistake
from espalier.site.process import importing, run, spare_compiler


def main() -> None:
    spare_compiler()
    with importing():
        from espalier.networks.planned import count

    rows = []
    for asked in json.load(sys.stdin):
        try:
            rows.append(count(*asked))
        except (ValueError, Mistake) as error:
            rows.append({"error": str(error)})
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    run(main)
