"""What the scripts of the stages share: words of their command lines, and a run at work."""

import argparse
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from espalier.runs.progress import Heartbeat
    from espalier.runs.work import Work
    from espalier.settings.sections import Training


def arguments(doc: str | None, parent: str = "") -> ArgumentParser:
    """The words of every stage: the run's folder, what it reads, and its settings.

    Args:
        parent: what is done with the network of the run before; empty where no run comes before
    """
    parser = ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the run's folder, <slug>-<id>")
    if parent:
        parser.add_argument("--parent", type=Path, required=True, help=f"folder of the run whose network is {parent}")
    parser.add_argument("--data", type=Path, required=True, help="prepared data set")
    parser.add_argument("settings", nargs="*", help="settings that differ from the defaults, as key=value")
    return parser


def resumable(parser: ArgumentParser) -> ArgumentParser:
    """The same with the words of a stage that saves its state and goes on from it."""
    parser.add_argument(
        "--checkpoint-minutes", type=float, default=10.0, help="save this often within an epoch or round"
    )
    parser.add_argument("--minutes", type=float, help="stop, save and exit 75 before this time is over; 0: no limit")
    parser.add_argument("--trackers", help="what follows the training: tensorboard,mlflow,wandb; ESPALIER_TRACKERS")
    return parser


def share(folder: Path, train: "Training") -> None:
    """Where several processes share a run, start them from this one, and end with them."""
    from espalier.site import ranks

    if train.processes > 1 and not ranks.launched():
        from espalier.stages.launch import launch

        sys.exit(launch(folder, train.processes, train.nodes))


@contextmanager
def at_work(args: Namespace, started: float) -> Iterator["Work"]:
    """Log, heartbeat, trackers and the wish to stop, around a stage that can go on.

    Args:
        args: of a `resumable` parser
        started: when the process started, by the monotonic clock
    """
    from espalier.runs.interruption import Interruption, job_started
    from espalier.runs.log import recording
    from espalier.runs.progress import Heartbeat
    from espalier.runs.trackers import following
    from espalier.runs.work import Work
    from espalier.site import ranks

    ranks.follow_launcher()
    interruption = Interruption(args.minutes or None, job_started(started)).listen()
    heartbeat = Heartbeat(args.folder)
    with recording(args.folder, heartbeat), following(args.folder, args.trackers, args.settings):
        heartbeat.beat(now=True)
        yield Work(args.folder, interruption, heartbeat, args.checkpoint_minutes, started)


@contextmanager
def in_one_go(folder: Path) -> Iterator["Heartbeat"]:
    """Log and heartbeat around a stage without steps, which begins anew where it was stopped."""
    from espalier.runs.log import recording
    from espalier.runs.progress import Heartbeat

    heartbeat = Heartbeat(folder)
    with recording(folder, heartbeat):
        heartbeat.alone()
        yield heartbeat
        heartbeat.beat("done")
