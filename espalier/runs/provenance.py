"""The origin of a run for its record: command, commit, plugins, versions, host and time."""

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from espalier.runs.clock import Clock
from espalier.settings import plugins
from espalier.site import preload

_CODE = Path(__file__).resolve().parent


def provenance(clock: Clock) -> dict[str, Any]:
    """What run.json tells of a run's origin.

    Args:
        clock: of the whole run
    """
    return {
        "command": shlex.join([Path(sys.executable).name, *sys.argv]),
        "git": git(),
        "plugins": {str(path): plugins.sha256(path) for path in plugins.files()},
        "versions": versions(),
        "host": platform.node(),
        "started": datetime.fromtimestamp(clock.began, UTC).isoformat(timespec="seconds"),
        "preloaded": preload.preloaded(),
    }


def git() -> dict[str, Any]:
    """The commit of this code and whether it was changed since; nulls where git cannot say."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _git(*words: str) -> str:
    # GIT_OPTIONAL_LOCKS: many runs ask at once, and none may hold up a commit.
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(_CODE), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10, env=environment)
    return done.stdout.strip()


def versions() -> dict[str, str | None]:
    """The versions that results may depend on; None of what is not installed as a package."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in ("espalier", "torch", "accelerate", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found
