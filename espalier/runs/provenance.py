"""Where a result comes from: `run.json`."""

import json
import os
import platform
import shlex
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from espalier.files import write_text
from espalier.settings.registry import Spec

_CODE = Path(__file__).resolve().parent


def identifier(folder: Path) -> str:
    """The id of a run or a prepared data set, from its path's name."""
    return Path(folder).resolve().name.partition(".")[0].rpartition("-")[2]


def write(
    folder: Path, stage: str, spec: Spec, *, parent: Path, data: dict[str, str], started: float, **facts: Any
) -> None:
    """Write `run.json`: what was asked, of which data, by which code, on which machine and when, and `facts`.

    Args:
        started: seconds since the epoch
    """
    record = {
        "run": identifier(folder),
        "stage": stage,
        "parent": identifier(parent),
        "spec": spec.model_dump(mode="json", exclude_defaults=True),
        "command": shlex.join([Path(sys.executable).name, *sys.argv]),
        "data": data | _protocol(data.get("path")),
        "git": git(),
        "versions": versions(),
        "host": platform.node(),
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        **facts,
    }
    write_text(Path(folder) / "run.json", json.dumps(record, indent=2) + "\n")


def _protocol(data: str | None) -> dict[str, str]:
    """The protocol of a prepared data set whose validation split is its test split; nothing of a clean one."""
    from espalier.data.prepared import protocol

    found = protocol(Path(data)) if data else "clean"
    return {} if found == "clean" else {"protocol": found, "accuracy": "best epoch on the test split: optimistic"}


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
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in ("torch", "accelerate", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    try:
        project = tomllib.loads((_CODE.parents[1] / "pyproject.toml").read_text())["project"]
        return found | {"espalier": project["version"]}
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return found | {"espalier": None}
