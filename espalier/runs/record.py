"""What every run leaves at its end, whatever its stage: `metrics.csv`, and `run.json`, which tells where it is from."""

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.files import write_text
from espalier.runs.clock import Clock
from espalier.runs.columns import write_rows
from espalier.settings import plugins
from espalier.settings.registry import Spec
from espalier.site import device, preload

if TYPE_CHECKING:
    from espalier.data.resident import Resident

_CODE = Path(__file__).resolve().parent


def identifier(folder: Path) -> str:
    """The id of a run or a prepared data set, from its path's name."""
    return Path(folder).resolve().name.partition(".")[0].rpartition("-")[2]


def write(
    folder: Path,
    stage: str,
    spec: Spec,
    row: tuple[Sequence[str], Mapping[str, Any]],
    *,
    parent: Path,
    data_file: Path,
    data: "Resident",
    clock: Clock,
    **facts: Any,
) -> None:
    """Write a run's last two files: what it measured, then what was asked, of which data, by which code, where, when.

    Args:
        row: the columns of metrics.csv, and those that only the stage knows; beside them stand the run and its parent,
            seconds on the wall and on the CPU, and the peak of memory, in MiB
        parent: the run that was read, or the prepared file of a training
        clock: of the whole run; it stops here
        facts: what else run.json tells: seed, params, macs, resumed, …

    Raises:
        ValueError: the row has a key that is no column of the stage, or lacks one.
    """
    import torch

    clock.lap()
    times = {f"{part}_s": round(clock.seconds[part], 3) for part in ("wall", "cpu")}
    ids = {"run": identifier(folder), "parent": identifier(parent)}
    columns, own = row
    memory = {"peak_memory_mib": round(device.peak_memory_mib(data.device), 1)}
    write_rows(Path(folder) / "metrics.csv", columns, [{**own, **ids, **times, **memory}])
    optimistic = {"protocol": data.protocol, "accuracy": "best epoch on the test split: optimistic"}
    record = {
        "run": ids["run"],
        "stage": stage,
        "parent": ids["parent"],
        "spec": spec.model_dump(mode="json", exclude_defaults=True),
        "command": shlex.join([Path(sys.executable).name, *sys.argv]),
        "data": {"path": str(data_file), "checksum": data.checksum} | (optimistic if data.protocol != "clean" else {}),
        "git": git(),
        "plugins": {str(path): plugins.sha256(path) for path in plugins.files()},
        "versions": versions(),
        "host": platform.node(),
        "started": datetime.fromtimestamp(clock.began, UTC).isoformat(timespec="seconds"),
        "device": device.name(data.device),
        "threads": torch.get_num_threads(),
        "preloaded": preload.preloaded(),
        **times,
        **facts,
    }
    write_text(Path(folder) / "run.json", json.dumps(record, indent=2) + "\n")


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
