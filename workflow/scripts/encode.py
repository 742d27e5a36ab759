"""Code a network as one small file: encode.py RUN_FOLDER --parent FOLDER --original FOLDER --data FILE key=value …

The file is decoded again, compared bit for bit and scored on the validation split before it is kept.
"""

import argparse
import time
from pathlib import Path

from espalier.process import importing, run, settings

STARTED = time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the run's folder, <slug>-<id>")
    parser.add_argument("--parent", type=Path, required=True, help="folder of the run whose network is coded")
    parser.add_argument("--original", type=Path, required=True, help="folder of the run that the chain began with")
    parser.add_argument("--data", type=Path, required=True, help="prepared data set")
    parser.add_argument("settings", nargs="*", help="settings that differ from the defaults, as key=value")
    args = parser.parse_intermixed_args()

    spec = settings("encode", args.settings)

    from espalier.log import recording
    from espalier.training.progress import Heartbeat

    heartbeat = Heartbeat(args.folder)
    with recording(args.folder, heartbeat):
        heartbeat.alone()
        with importing():
            from espalier.coding.run import encode

        encode(args.folder, spec, args.parent, args.data, original=args.original, started=STARTED)
        heartbeat.beat("done")


if __name__ == "__main__":
    run(main)
