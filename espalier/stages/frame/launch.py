"""Starts a script as several processes, on one machine or on the nodes of a SLURM job, and ends with one exit code.

`accelerate launch` is not used: it ends with 1 where the processes ended with 75, which asks to be run again; it takes
4 CPU-seconds of its own; and it listens on a port that two jobs of a machine may both choose.

On several nodes the command runs as a SLURM step on each, which starts that node's share of the processes.
"""

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from espalier.errors import Mistake
from espalier.runs.interruption import STOPPED
from espalier.runs.log import recording
from espalier.runs.owner import owning
from espalier.runs.progress import Heartbeat
from espalier.site import device, nodes, ranks
from espalier.site.pilot.board import board

GRACE_S = 10.0
"""How long the others may take to notice that a process has ended, and to tell so."""

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
_TELLING = {2: 1, 130: 2, STOPPED: 4}
"""Exit codes in the order in which they explain an end; one that is not here stands third, a signal first."""
_MEETING = ".meeting-"
_GLOO, _NCCL = "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"
"""Environment variables with the network interface over which processes talk; a site's own choice is kept."""
Command = tuple[Sequence[str], Mapping[str, object]]
"""What is started, and what its environment has beside this process's own."""


def launch(folder: Path, processes: int, over: int = 1) -> int:
    """Run this very command line as `processes` processes; the exit code that says best how they ended.

    Signals are passed on. When a process fails the others are ended, and when this one is killed they end too.

    Args:
        over: nodes of the SLURM job that share the processes equally; outside such a job all start on this machine
    """
    if nodes.part() is not None:
        return _launch_part(folder, processes, over)
    with ExitStack() as stack:
        with recording(folder):
            owned = stack.enter_context(owning(folder))
        return _launch_owned(folder, processes, over, owned)


def _launch_owned(folder: Path, processes: int, over: int, owned: IO) -> int:
    """Launch in a folder that this process owns; processes of this machine own it as long as they live.

    Args:
        owned: the open file that is the lock
    """
    with recording(folder, Heartbeat(folder).inherit()) as log:
        if processes % over:
            raise Mistake(f"processes: {processes} are not shared equally by {over} nodes; make it a multiple")
        found = nodes.of_job(over) if over > 1 else []
        own_log = any(isinstance(each, logging.FileHandler) for each in log.handlers)
    if not found:
        return _launch_here(folder, processes, owned)
    return _launch_steps(folder, processes, found, {} if own_log else {ranks.LOGGED: True})


def _launch_here(folder: Path, processes: int, owned: IO) -> int:
    """All processes on this machine; a pilot gives them slots, and each the threads of a slot."""
    with recording(folder, Heartbeat(folder).inherit()):
        share = board(processes)
    with tempfile.TemporaryDirectory(prefix="espalier-") as meeting:
        common = _threads(share or _cores() // processes) | {ranks.RENDEZVOUS: Path(meeting, "store")}
        if sys.platform == "linux":
            common[_GLOO] = os.environ.get(_GLOO, "lo")
        commands = [_process(rank, rank, processes, processes, common) for rank in range(processes)]
        codes = _together(commands, owned=owned)
    _tell(folder, {f"rank {rank}": code for rank, code in enumerate(codes)})
    return _explaining(codes)


def _launch_steps(folder: Path, processes: int, found: Sequence[nodes.Node], common: Mapping[str, object]) -> int:
    """A step on each node, which meet in the run's folder."""
    # Left there by a launcher that was killed.
    for old in Path(folder).glob(f"{_MEETING}*"):
        shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_MEETING, dir=folder, ignore_cleanup_errors=True) as meeting:
        store = Path(meeting, "store")
        # Create the file first: a network file system may cache that a file does not exist, but not what it holds.
        store.touch()
        command = [sys.executable, *sys.argv]
        steps: list[Command] = []
        for number, node in enumerate(found):
            peer = found[0 if number else 1]
            more = {ranks.RENDEZVOUS: store, nodes.PART: number, nodes.PEER: peer.address}
            steps.append((nodes.step(node, processes // len(found), command), common | more))
        # SIGUSR1, since srun passes it on to its step; on SIGTERM it kills the step.
        codes = _together(steps, nodes.environment(), as_signal=signal.SIGUSR1)
    _tell(folder, {node.name: code for node, code in zip(found, codes, strict=True)})
    return _explaining(codes)


def _launch_part(folder: Path, processes: int, over: int) -> int:
    """This node's share of the processes."""
    ranks.follow_launcher()
    here = processes // over
    first = here * nodes.part()
    with recording(folder):
        name = nodes.interface()
    common = _threads(_cores() // processes)
    common |= {_GLOO: os.environ.get(_GLOO, name), _NCCL: os.environ.get(_NCCL, f"={name}")}
    codes = _together([_process(first + local, local, here, processes, common) for local in range(here)])
    _tell(folder, {f"rank {first + local}": code for local, code in enumerate(codes)})
    return _explaining(codes)


def _cores() -> int:
    """Cores of the run here."""
    stated = os.environ.get("OMP_NUM_THREADS")
    return int(stated) if stated else device.cores()


def _threads(each: int) -> dict[str, object]:
    # Snakemake states a job's cores in the second one too, and torch follows the greater.
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), max(1, each))


def _process(rank: int, local: int, here: int, world: int, common: Mapping[str, object]) -> Command:
    numbers = {"RANK": rank, "LOCAL_RANK": local, "LOCAL_WORLD_SIZE": here, "WORLD_SIZE": world}
    return [sys.executable, *sys.argv], common | numbers


def _together(
    commands: Sequence[Command],
    base: Mapping[str, str] | None = None,
    as_signal: signal.Signals | None = None,
    owned: IO | None = None,
) -> list[int | None]:
    """Run commands at the same time, pass signals on to them, and end all if one fails; returns their exit codes.

    The code is None for a command that was ended because another failed.

    Args:
        base: environment variables of all commands; None for this process's
        as_signal: the signal that is passed on in place of the one received
        owned: an open file that the commands inherit
    """
    started: list[subprocess.Popen] = []
    asked: set[int] = set()

    def pass_on(number: int, _: object) -> None:
        asked.add(number)
        for process in started:
            process.send_signal(as_signal or number)

    for number in _SIGNALS:
        signal.signal(number, pass_on)
    base = os.environ if base is None else base
    for words, more in commands:
        environment = {**base, **{name: str(value) for name, value in more.items()}}
        # A group of its own, or Ctrl-C would reach it twice; its standard input ends with this process.
        held = () if owned is None else (owned.fileno(),)
        started.append(subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, process_group=0, pass_fds=held))
        if asked:
            started[-1].send_signal(as_signal or max(asked))
    # A process that has not set its signal handler yet is killed by the signal; it has nothing to save.
    early = {-(as_signal or number) for number in asked - {signal.SIGINT}}
    return [STOPPED if code in early else code for code in map(_signed, _codes(started))]


def _codes(started: list[subprocess.Popen]) -> list[int | None]:
    """How each process ended; None for one that was ended from here because of another."""
    deadline = None
    while any(each.poll() is None for each in started):
        if deadline is None and any(each.returncode for each in started):
            deadline = time.monotonic() + GRACE_S
        if deadline is not None and time.monotonic() > deadline:
            break
        time.sleep(0.05)
    codes = [each.poll() for each in started]
    for each in started:
        if each.poll() is None:
            each.kill()
        each.wait()
    return codes


def _signed(code: int | None) -> int | None:
    """An exit code, negative where a signal was the end: of a step srun says so as a shell does."""
    return 128 - code if code and code > 128 and code != 130 else code


def _tell(folder: Path, codes: Mapping[str, int | None]) -> None:
    """Log which of the run's processes a signal has ended, since they could not."""
    killed = {name: signal.Signals(-code).name for name, code in codes.items() if code is not None and code < 0}
    if killed:
        with recording(folder) as log:
            for who, name in killed.items():
                log.error("%s was ended by %s; the same command goes on from the last save", who, name)
        Heartbeat(folder).inherit().beat("failed")


def _explaining(codes: Sequence[int | None]) -> int:
    worst = min((code for code in codes if code), key=_telling, default=0)
    return 128 - worst if worst < 0 else worst


def _telling(code: int) -> int:
    return 0 if code < 0 else _TELLING.get(code, 3)
