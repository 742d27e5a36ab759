"""Scripts run as processes, killed and started again."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from unittest import mock

from espalier.site.preload import SOCKET, server

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"
ENVIRONMENT = server.environment()
"""That of a run with one thread, which imports torch for itself."""
_FROM = "import sys; sys.path.insert(0, {root!r})\nfrom espalier.site.preload import server\n"
EVERYTHING = (
    sys.executable,
    "-c",
    f"{_FROM.format(root=str(ROOT))}"
    "server.MODULES += ('espalier.stages.frame.command_line', 'espalier.training.loop', 'espalier.training.watch')\n"
    "server.MODULES += ('espalier.networks.own_weights', 'espalier.networks.pretrained', 'espalier.training.longer')\n"
    "server.main()",
)
"""The command of a server that has imported Espalier too, which no test edits between its runs."""
PATIENCE_S = 600.0
"""What takes longer has hung. Machines are slow and busy; no test is quicker for a shorter time."""


@cache
def preloaded(root: Path | None = None):
    """The environment of a run that is forked from a process with torch imported, as Snakemake runs it on Linux.

    Args:
        root: a repository whose library is imported by the run; by default this one's is imported already
    """
    # A server's forks are not among the processes whose coverage is measured.
    if not server.wanted("auto") or any(key.startswith("COV") for key in os.environ):
        return ENVIRONMENT | ({"PYTHONPATH": str(root)} if root else {})
    return begun((*EVERYTHING[:2], f"{_FROM.format(root=str(root))}server.main()") if root else EVERYTHING)


def begun(command):
    """The environment of runs that are forked by a new server, which this command starts."""
    # The environment is changed here only, so that other processes of tests use no server. It is the original one: with
    # variables that imported libraries have set since, a server would refuse these runs.
    with mock.patch.dict(os.environ, ENVIRONMENT, clear=True), mock.patch.object(server, "COMMAND", command):
        server.begin()
        return ENVIRONMENT | {SOCKET: os.environ[SOCKET]}


def script(stage, *words):
    """The command line of a stage."""
    return [sys.executable, str(SCRIPTS / "stage.py"), stage, *map(str, words)]


def run(stage, *words):
    """Run a stage to its end."""
    return subprocess.run(script(stage, *words), env=preloaded(), capture_output=True, text=True, check=False)


def interrupt(command, folder, number, saves, seconds, env=ENVIRONMENT):
    """Start a run, let it save its state so often, send it a signal so many seconds later; its exit code."""
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    seen = saved(folder)
    while process.poll() is None and saves:
        time.sleep(0.002)
        if saved(folder) not in (seen, None):
            seen, saves = saved(folder), saves - 1
    time.sleep(seconds)
    process.send_signal(number)
    return process.wait()


def saved(folder):
    """When the newest checkpoint was written."""
    try:
        return (folder / "checkpoint/latest.safetensors").stat().st_mtime_ns
    except FileNotFoundError:
        return None


def interrupted_to_the_end(command, folder, most):
    """Kill a run at random moments, at most so often, then let it end; how often it was killed."""
    folder.mkdir()
    draw = random.Random(0)
    kills = 0
    while kills < most:
        # Moments are counted in saves, not seconds, so that a slow machine is interrupted as often as a fast one.
        code = interrupt(command, folder, signal.SIGKILL, draw.randint(1, 4), draw.uniform(0, 0.05), preloaded())
        assert code in (-9, 0)
        if code == 0:
            return kills
        kills += 1
    done = subprocess.run(command, env=preloaded(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return kills


def table(path):
    """The rows of a CSV that a script has written."""
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))
