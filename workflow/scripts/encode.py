"""Code a network as one small file: encode.py RUN_FOLDER --parent FOLDER --original FOLDER --data FILE key=value …

The file is decoded again, compared bit for bit and scored on the validation split before it is kept.
"""

import time
from pathlib import Path

from espalier.site.process import importing, run, settings
from espalier.stages.frame import arguments, in_one_go

STARTED = time.monotonic()


def main() -> None:
    parser = arguments(__doc__, "coded")
    parser.add_argument("--original", type=Path, required=True, help="folder of the run that the chain began with")
    args = parser.parse_intermixed_args()
    spec = settings("encode", args.settings)
    with in_one_go(args.folder):
        with importing():
            from espalier.stages.encode import encode

        encode(args.folder, spec, args.parent, args.data, original=args.original, started=STARTED)


if __name__ == "__main__":
    run(main)
