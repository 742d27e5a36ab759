"""Programs of the system that the cluster is made with."""

import os
import shutil
import subprocess

# An administrator's programs lie where a user's PATH may not lead.
PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])


def absent(*names: str) -> str | None:
    """Which of these programs are not installed, in words, or None."""
    found = [name for name in names if shutil.which(name, path=PATH) is None]
    return f"{', '.join(found)} not installed: make slurm-packages" if found else None


def call(*words: str) -> str:
    """What a program prints.

    Raises:
        RuntimeError: it ended with another code than 0.
    """
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | {"PATH": PATH})
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
