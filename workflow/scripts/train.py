"""Train a network: train.py RUN_FOLDER --data FILE.safetensors key=value …

Exit codes: 0 done, 2 a mistake told in one line, 75 stopped with its state saved (run the same command again).
"""

import argparse
import sys
import time
from pathlib import Path

from espalier.process import importing, run, settings

STARTED = time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the run's folder, <slug>-<id>")
    parser.add_argument("--data", type=Path, required=True, help="prepared data set")
    parser.add_argument("--checkpoint-minutes", type=float, default=10.0, help="save within an epoch this often")
    parser.add_argument("--minutes", type=float, help="stop, save and exit 75 before this time is over; 0: no limit")
    parser.add_argument("--trackers", help="what follows the training: tensorboard,mlflow,wandb; ESPALIER_TRACKERS")
    parser.add_argument("settings", nargs="*", help="settings that differ from the defaults, as key=value")
    args = parser.parse_intermixed_args()

    spec = settings("train", args.settings)

    from espalier.training import group

    if spec.train.processes > 1 and not group.launched():
        from espalier.training.launch import launch

        sys.exit(launch(args.folder, spec.train.processes, spec.train.nodes))

    from espalier.log import recording
    from espalier.trackers.live import following
    from espalier.training.interruption import Interruption, job_started
    from espalier.training.progress import Heartbeat

    group.follow_launcher()
    interruption = Interruption(args.minutes or None, job_started(STARTED)).listen()
    heartbeat = Heartbeat(args.folder)
    with recording(args.folder, heartbeat), following(args.folder, args.trackers, args.settings):
        with importing():
            from espalier.training.run import train

        train(
            args.folder,
            spec,
            args.data,
            interruption=interruption,
            heartbeat=heartbeat,
            checkpoint_minutes=args.checkpoint_minutes,
            started=STARTED,
        )


if __name__ == "__main__":
    run(main)
