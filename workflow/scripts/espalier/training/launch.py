"""Start a script once a process of its group, on one machine, and end with one exit code.

`accelerate launch` would do, and works; but it ends with 1 where the processes ended with 75, which asks to be run
again, takes 4 CPU-seconds of its own, and listens on a port that two jobs of a machine may both choose.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from espalier import device
from espalier.log import recording
from espalier.training import group
from espalier.training.interruption import STOPPED
from espalier.training.progress import Heartbeat

GRACE_S = 10.0
"""How long the others may take to notice that a process has ended, and to tell so."""

_TELLING = {2: 1, 130: 2, STOPPED: 4}
"""Exit codes in the order in which they explain an end; one that is not here stands third, a signal first."""


def launch(folder: Path, processes: int) -> int:
    """Run this very command line as `processes` processes; the exit code that says best how they ended.

    Signals are passed on. When a process fails the others are ended, and when this one is killed they end too.
    """
    threads = int(os.environ.get("OMP_NUM_THREADS") or device.cores())
    with tempfile.TemporaryDirectory(prefix="espalier-") as meeting:
        each = max(1, threads // processes)
        common = {
            "WORLD_SIZE": processes,
            "LOCAL_WORLD_SIZE": processes,
            "OMP_NUM_THREADS": each,
            # Snakemake states a job's cores in this one too, and torch follows the greater.
            "MKL_NUM_THREADS": each,
            group.RENDEZVOUS: Path(meeting, "store"),
        }
        started: list[subprocess.Popen] = []
        asked: set[int] = set()

        def pass_on(number: int, _: object) -> None:
            asked.add(number)
            for process in started:
                process.send_signal(number)

        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, pass_on)
        for rank in range(processes):
            words = common | {"RANK": rank, "LOCAL_RANK": rank}
            environment = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
            environment |= os.environ | {name: str(value) for name, value in words.items()}
            # A group of its own, or Ctrl-C would reach it twice; its standard input ends with this process.
            started.append(
                subprocess.Popen([sys.executable, *sys.argv], env=environment, stdin=subprocess.PIPE, process_group=0)
            )
            if asked:
                started[-1].send_signal(max(asked))
        # Until it listens, a process that is asked to stop is ended by the signal, with nothing to lose.
        early = {-number for number in asked - {signal.SIGINT}}
        codes = [STOPPED if code in early else code for code in _codes(started)]
    killed = [rank for rank, code in enumerate(codes) if code is not None and code < 0]
    if killed:
        with recording(folder) as log:
            for rank in killed:
                name = signal.Signals(-codes[rank]).name
                log.error("rank %d was ended by %s; the same command goes on from the last save", rank, name)
        Heartbeat(folder).inherit().beat("failed")
    worst = min((code for code in codes if code), key=_telling, default=0)
    return 128 - worst if worst < 0 else worst


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


def _telling(code: int) -> int:
    return 0 if code < 0 else _TELLING.get(code, 3)
