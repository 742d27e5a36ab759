"""A server of preloaded runs that tests start and end themselves, and the runs that it forks."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from espalier.site.preload import SOCKET, server
from support.scripts_as_run import PATIENCE_S, saved, script

LIGHT = (
    sys.executable,
    "-c",
    "from espalier.site.preload import server; server.MODULES = ('wave',); server.main()",
)
"""The command of a server that imports next to nothing, for scripts that need no torch."""


class Server:
    """A server, started and ended as Snakemake does it."""

    def __init__(self, command=server.COMMAND):
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=server.environment(),
            text=True,
            start_new_session=True,
        )
        self.socket = Path(self.process.stdout.readline().strip())
        self.environment = server.environment() | {SOCKET: str(self.socket)}

    def run(self, *words, **changed):
        environment = self.environment | changed
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)

    def begin(self, command):
        return subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL)

    def end(self):
        """Close its standard input, as the end of Snakemake does; what it said to that."""
        _, said = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0
        return said


def train(folder, digits, *words):
    return script("train", folder, *words, "--data", digits, "--checkpoint-minutes", "0")


def at_work(process, folder):
    """Wait for the first checkpoint of a run; the process that trains."""
    while saved(folder) is None:
        assert process.poll() is None, "ended without a checkpoint"
        time.sleep(0.01)
    return json.loads((folder / "heartbeat.json").read_text())["pid"]


def ended(pid):
    """Whether a process has gone."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False
