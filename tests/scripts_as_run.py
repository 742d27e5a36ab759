"""Scripts run as processes, killed and started again."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def script(name, *words):
    """The command line of a script."""
    return [sys.executable, str(SCRIPTS / f"{name}.py"), *map(str, words)]


def run(name, *words):
    """Run a script to its end."""
    return subprocess.run(script(name, *words), env=ENVIRONMENT, capture_output=True, text=True, check=False)


def interrupt(command, folder, number, saves, seconds):
    """Start a run, let it save its state so often, send it a signal so many seconds later; its exit code."""
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
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
        code = interrupt(command, folder, signal.SIGKILL, draw.randint(1, 4), draw.uniform(0, 0.05))
        assert code in (-9, 0)
        if code == 0:
            return kills
        kills += 1
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return kills
