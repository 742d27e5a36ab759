"""Score a chain on the test split, once: evaluate.py RUN_FOLDER --parent RUN_FOLDER --data FILE.safetensors"""

import argparse
import time
from pathlib import Path

from espalier.process import importing, run, settings

STARTED = time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the run's folder, <slug>-<id>")
    parser.add_argument("--parent", type=Path, required=True, help="folder of the run whose network is scored")
    parser.add_argument("--before", type=Path, nargs="*", default=[], help="folders of the runs that it came from")
    parser.add_argument("--branches", type=Path, nargs="*", default=[], help="folders of runs beside it")
    parser.add_argument("--data", type=Path, required=True, help="prepared data set")
    parser.add_argument("settings", nargs="*", help="settings that differ from the defaults, as key=value")
    args = parser.parse_intermixed_args()

    spec = settings("evaluate", args.settings)

    from espalier.log import recording
    from espalier.training.progress import Heartbeat

    heartbeat = Heartbeat(args.folder)
    with recording(args.folder, heartbeat):
        heartbeat.alone()
        with importing():
            from espalier.measure.evaluation import evaluate

        evaluate(
            args.folder,
            spec,
            args.parent,
            args.data,
            before=args.before,
            branches=args.branches,
            started=STARTED,
        )
        heartbeat.beat("done")


if __name__ == "__main__":
    run(main)
