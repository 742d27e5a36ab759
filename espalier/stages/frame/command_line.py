"""The command line of every stage, from its facts.

    stage.py STAGE FOLDER --data FILE [--parents FOLDER …] [--teacher FOLDER] [--until EPOCH --rung FILE] key=value …

Exit codes: 0 done, paused, diverged or not run; 2 a mistake told in one line; 75 stopped with its state saved (run the
same command again); 130 Ctrl-C where there is none; 1 anything else, with its traceback in the log.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from espalier.errors import Mistake
from espalier.runs.clock import Clock, process_began
from espalier.runs.interruption import Interruption, job_started
from espalier.runs.log import recording
from espalier.runs.owner import owning
from espalier.runs.progress import Heartbeat
from espalier.settings.keys import flat
from espalier.settings.problems import StudyError, unknown
from espalier.settings.registry import Spec
from espalier.settings.words import parse
from espalier.site import fail_fast, ranks
from espalier.stages import STAGES
from espalier.stages.definition import Stage
from espalier.stages.frame.pause import RungPause
from espalier.stages.frame.stage_run import StageRun, make, section
from espalier.stages.frame.trial import TrialStop


def main(words: Sequence[str] | None = None) -> None:
    """Make the run that a command line names, and end with an exit code that tells how it went."""
    started = process_began()
    with _told_to_pilot():
        name, *words = (sys.argv[1:] if words is None else words) or ["--help"]
        if name not in STAGES:
            usage = f"usage: stage.py STAGE …; stages: {', '.join(STAGES)}; stage.py STAGE --help"
            sys.exit(usage if name in ("-h", "--help") else f"{unknown('stage', name, STAGES)}\n{usage}")
        stage = STAGES[name]
        reader = parser(stage)
        args = reader.parse_intermixed_args(words)
        try:
            spec = parse(stage.settings, args.settings)
        except StudyError as error:
            print(error, file=sys.stderr)
            sys.exit(2)
        if stage.reads == "source":
            stage(args.folder, spec, args.threads)
            return
        if stage.pausable and (wrong := _unpausable(spec, args)):
            reader.error(wrong)
        _share(stage, args.folder, spec)
        with _at_work(stage, spec, args, started) as run:
            make(run)


def parser(stage: Stage) -> argparse.ArgumentParser:
    """The command line of a stage, from its facts."""
    found = argparse.ArgumentParser(
        prog=f"stage.py {stage.name}",
        description=f"{stage.doc}\n\n{__doc__.rpartition('key=value …')[2].strip()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if stage.reads == "source":
        found.add_argument(
            "folder", type=Path, metavar="output", help="prepared file to write, <slug>-<id>.safetensors"
        )
        found.add_argument(
            "--threads", type=int, default=1, help="threads that decode and resize; the file is the same"
        )
    else:
        found.add_argument("folder", type=Path, help="the run's folder, <slug>-<id>")
        found.add_argument("--data", type=Path, required=True, help="prepared data set")
        about = "how often a call of Snakemake has tried this run; after a mistake that a user must mend, once"
        found.add_argument("--attempt", type=int, default=1, help=about)
    if stage.reads == "network":
        about = "folders of the runs before it, from the first of its chain to the one whose network it reads"
        found.add_argument("--parents", type=Path, nargs="+", required=True, help=about)
    if stage.scores_chain:
        found.add_argument("--branches", type=Path, nargs="*", default=[], help="folders of runs beside the chain")
    if stage.resumable:
        about = "save this often within an epoch or round"
        found.add_argument("--checkpoint-minutes", type=float, default=10.0, help=about)
        about = "stop, save and exit 75 before this time is over; 0: no limit"
        found.add_argument("--minutes", type=float, default=0.0, help=about)
    if stage.pausable:
        about = "train to the end of this epoch, save and end with exit code 0; without it, go on to the end"
        found.add_argument("--until", type=int, metavar="EPOCH", help=about)
        found.add_argument("--rung", type=Path, metavar="FILE", help="JSON that says how the run stood at that epoch")
        about = "end when others are better; JSON that says how it was compared"
        found.add_argument("--trial", type=Path, metavar="FILE", help=about)
        found.add_argument("--question", type=Path, metavar="FILE", help="JSON that says with whom, and by what rule")
    if stage.training:
        about = "folder of the run whose answers are learned, where the settings ask for a teacher"
        found.add_argument("--teacher", type=Path, help=about)
        about = "what follows the training: tensorboard,mlflow,wandb; ESPALIER_TRACKERS"
        found.add_argument("--trackers", help=about)
    found.add_argument("settings", nargs="*", help="settings that differ from the defaults, as key=value")
    return found


def _unpausable(spec: Spec, args: argparse.Namespace) -> str:
    """Why the options for pausing or a trial cannot be used; empty if they can."""
    if (args.until is None) != (args.rung is None):
        return "--until EPOCH and --rung FILE go together"
    if (args.trial is None) != (args.question is None):
        return "--trial FILE and --question FILE go together"
    if args.until is not None and args.trial is not None:
        return "--until pauses the training and --trial ends it; keep one of them"
    if args.until is not None and args.until < 1:
        return f"--until: {args.until} is no epoch; the first is 1"
    if args.until is not None and not spec.train.epochs:
        return "--until: train.epochs is 0, so that there is no epoch to pause at; leave --until and --rung out"
    return ""


def _pausing(args: argparse.Namespace, spec: Spec) -> RungPause | TrialStop | None:
    if getattr(args, "until", None) is not None:
        return RungPause(args.until, args.rung)
    if getattr(args, "trial", None) is not None:
        return TrialStop(args.trial, args.question, args.folder.name, spec.train.select, spec.train.epochs)
    return None


def _share(stage: Stage, folder: Path, spec: Spec) -> None:
    """Where several processes share a run, start them from this one, and end with them."""
    train = section(stage, spec)
    if train is not None and train.processes > 1 and not ranks.launched():
        from espalier.stages.frame.launch import launch

        sys.exit(launch(folder, train.processes, train.nodes))


@contextmanager
def _at_work(stage: Stage, spec: Spec, args: argparse.Namespace, started: float) -> Iterator[StageRun]:
    """Log, heartbeat, trackers and the wish to stop, around a stage.

    Args:
        started: when the process started, by the monotonic clock
    """
    from espalier.runs.trackers import following

    ranks.follow_launcher()
    minutes = getattr(args, "minutes", 0) or None
    interruption = Interruption(minutes, started, job_started(started))
    heartbeat = Heartbeat(args.folder)
    run = StageRun(
        args.folder,
        interruption.listen() if stage.resumable else interruption,
        heartbeat,
        getattr(args, "checkpoint_minutes", 0.0),
        Clock(started),
        stage,
        spec,
        args.data,
        tuple(getattr(args, "parents", ())),
        tuple(getattr(args, "branches", ())),
        getattr(args, "teacher", None),
        _pausing(args, spec),
    )
    # The launcher of several processes owns the folder for all of them.
    owned = nullcontext() if ranks.launched() else owning(args.folder, interruption.reason)
    trackers = following(args.folder, getattr(args, "trackers", ""), dict(flat(spec.model_dump(mode="json"))))
    heartbeat.quiet = True
    with recording(args.folder, heartbeat), owned:
        heartbeat.quiet = False
        _refuse(args, heartbeat)
        if stage.resumable:
            heartbeat.beat(now=True)
        else:
            heartbeat.alone()
        with trackers:
            yield run


def _refuse(args: argparse.Namespace, heartbeat: Heartbeat) -> None:
    """Begin no run that will fail: of a call that is stopped, or tried again in a call where it failed of a mistake.

    Raises:
        Mistake: that of the call, or that of the run.
    """
    if reason := fail_fast.stopped():
        raise Mistake(f"not begun: {reason}")
    if args.attempt > 1 and (mistake := heartbeat.last().get("mistake")):
        raise Mistake(f"not tried again in this call, since it is no accident: {mistake}")


@contextmanager
def _told_to_pilot() -> Iterator[None]:
    """Tell the pilot that has started this process how it ended, where there is one."""
    from espalier.site.pilot import board

    try:
        yield
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        board.ended(code, end.__context__)
        raise
    board.ended(0, None)
