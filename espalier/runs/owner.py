"""One live owner a run's folder: a lock that its process holds, and that the kernel frees however the process ends.

On NFS the lock holds between machines where the mount has locks (the default; not with `nolock` or `local_lock`), and
on Lustre where it is mounted with `flock`. Where a file system has none, the run says so in its log and goes on.
"""

import json
import logging
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from espalier.counted import counted
from espalier.errors import Interrupted
from espalier.files import leftovers
from espalier.runs.record import CHECKPOINTS
from espalier.site import file_lock

log = logging.getLogger("espalier")

NAME = ".owner"
_LOOK_S = 0.5


def name_for(file: Path) -> str:
    """The name of the file that is locked, beside it, while a single file is made."""
    return f".{Path(file).name}{NAME}"


@contextmanager
def owning(folder: Path, stop: Callable[[], str | None] = lambda: None, name: str = NAME) -> Iterator[IO]:
    """Own a folder inside the block, after waiting until no other process owns it.

    Yields the locked file: it is the lock, and a child process may inherit it.

    Args:
        stop: called repeatedly while another process owns it; a reason returned ends the wait
        name: of the file that is locked; from `name_for` to own one file of the folder instead

    Raises:
        Interrupted: `stop` gave a reason.
    """
    path = Path(folder) / name
    file, locked = _taken(path, stop)
    file_lock.sign(file, {"pid": os.getpid(), "host": platform.node(), "job": os.environ.get("SLURM_JOB_ID")})
    try:
        yield file
    finally:
        # Remove it before unlocking: once unlocked, the file may already belong to another process.
        if locked:
            path.unlink(missing_ok=True)
        file.close()


def _taken(path: Path, stop: Callable[[], str | None]) -> tuple[IO, bool]:
    """The open file, and whether it is locked."""
    folder, looks = path.parent, 0
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            file = file_lock.take(path)
        except OSError as error:
            log.warning("%s cannot be locked (%s): nothing keeps a second process out of the folder", path, error)
            return path.open("a+"), False
        if file and _is(path, file):
            return file, True
        if file:
            file.close()
            continue
        # A process that only looks holds the lock for a moment too, so only the second failure is told.
        looks += 1
        if looks == 2:
            who = words(owner(folder, path.name) or {})
            log.warning("%s is being made by %s; waiting for its end", folder, who)
        if reason := stop():
            raise Interrupted(f"{reason}, while another process makes {folder}")
        time.sleep(_LOOK_S)


def _is(path: Path, file: IO) -> bool:
    """Whether a locked file is still the one at its path, which the owner before has removed."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def owner(folder: Path, name: str = NAME) -> dict[str, Any] | None:
    """Who makes a folder now: `pid`, `host` and SLURM `job`, as far as it has said.

    None where nobody does, or where the file system has no locks.
    """
    path = Path(folder) / name
    try:
        # Looking makes no file.
        file = file_lock.take(path, mode="r+")
    except OSError:
        # There is no such file, or the file system has no locks: then no owner can be known.
        return None
    if file:
        file.close()
        return None
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def words(found: dict[str, Any]) -> str:
    """An owner as a message names it."""
    where = f"process {found.get('pid', 'unknown')} on {found.get('host', 'an unknown machine')}"
    return f"{where} (SLURM job {found['job']})" if found.get("job") else where


def sweep(folder: Path, *, complete: bool = False) -> None:
    """Remove what a process that was killed has left in a folder that nobody else makes.

    Args:
        complete: the run has its record, so its checkpoints go too
    """
    states = Path(folder) / CHECKPOINTS
    for path in (*leftovers(folder), *leftovers(states)):
        path.unlink(missing_ok=True)
    if complete:
        shutil.rmtree(states, ignore_errors=True)


def sweep_complete(folder: Path) -> None:
    """Remove what a process that was killed after the record of its run was written has left beside it."""
    if owner(folder) is None:
        sweep(folder, complete=True)
        (Path(folder) / NAME).unlink(missing_ok=True)


def await_all(folders: Iterable[Path], told: Callable[[str], None], every_s: float = 2.0) -> None:
    """Return once no process owns any of the folders; `told` is given a line when some do.

    A call of Snakemake that was killed leaves its runs alive. Their results are taken over.
    """
    owners = {folder: found for folder in folders if (found := owner(folder)) is not None}
    if not owners:
        return
    who = "; ".join(words(found) for found in list(owners.values())[:10])
    being = counted(len(owners), "run of an earlier call is", "runs of an earlier call are")
    told(f"{being} still being made, by {who}. This call goes on behind that; kill ends it sooner")
    for folder in owners:
        while owner(folder) is not None:
            time.sleep(every_s)
