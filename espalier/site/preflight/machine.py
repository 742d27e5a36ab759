"""Checks of this machine and of the folder of results, which need no SLURM."""

import importlib.util
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

from espalier.counted import counted
from espalier.site.preflight.finding import Finding, doubtful, right, wrong

PACKAGES = ("snakemake", "snakemake_executor_plugin_slurm", "pydantic", "torch", "numpy", "pandas")
"""Packages that every job or every start of Snakemake imports."""
LEAST_GIB = 5
"""Free space below which even a small study may stop."""
CLOCK_S = 2.0
SHARED = {"nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "cifs", "smb3", "panfs", "wekafs", "orangefs", "afs", "9p"}
OWN = {"tmpfs", "ramfs", "overlay", "squashfs"}
"""File systems that no other machine can see."""


def findings(results: Path, *, nodes: set[str] | None) -> Iterator[Finding]:
    """Check this machine: compiled byte code, free space, the clock, the umask and shared folders.

    Args:
        nodes: names of the machines that jobs run on; None if they run on this one
    """
    yield from _byte_code()
    yield from _space(results)
    yield from _clock(results)
    yield _umask()
    if nodes is not None and nodes - {platform.node(), platform.node().partition(".")[0]}:
        yield _shared(results, "results")
        yield _shared(Path(sys.prefix), "the Python environment")


def _byte_code() -> Iterator[Finding]:
    # Espalier's own is written by the first job, if it may be.
    own = ("espalier",) if sys.flags.dont_write_bytecode else ()
    for package in (*PACKAGES, *own):
        found = importlib.util.find_spec(package)
        if found is None or not found.origin:
            continue
        sources = list(Path(found.origin).parent.rglob("*.py"))
        missing = [path for path in sources if not Path(importlib.util.cache_from_source(path)).exists()]
        if 10 * len(missing) > len(sources):
            fact = (
                f"{package}: {len(missing)} of {len(sources)} modules have no byte-code: every job compiles them anew"
            )
            folder = Path(found.origin).parent
            yield wrong(fact, f"unset PYTHONDONTWRITEBYTECODE, and {sys.executable} -m compileall -q {folder}")
            return
    yield right("byte-code of the packages is compiled")


def _space(results: Path) -> Iterator[Finding]:
    place = _existing(results)
    wanted = need(results)
    free, files = shutil.disk_usage(place).free, os.statvfs(place)
    least = max(wanted.size, LEAST_GIB << 30)
    fact = f"{free / 2**30:,.0f} GiB free for results, {least / 2**30:,.0f} wanted"
    fact += f" for {counted(wanted.runs, 'run')} to go" if wanted.size == least else ""
    if free < least:
        yield wrong(fact, "make room, or put results/ on a larger file system by a link")
    else:
        yield right(fact)
    # File systems without a table of files tell of none.
    if files.f_files and files.f_favail < wanted.files:
        runs = counted(wanted.runs, "run")
        fact = f"{files.f_favail:,} files may still be made, {wanted.files:,} wanted for {runs} to go"
        yield wrong(fact, "ask for more files (inodes), or add `persistence-backend: db` to the profile")


def _clock(results: Path) -> Iterator[Finding]:
    try:
        with tempfile.NamedTemporaryFile(dir=_existing(results)) as file:
            before = time.time()
            # The file system's own clock stamps what is written, not this machine's.
            file.write(b"now")
            file.flush()
            os.fsync(file.fileno())
            ahead = os.fstat(file.fileno()).st_mtime - before
    except OSError as error:
        yield wrong(f"{_existing(results)} cannot be written: {error.strerror}", "change its owner or its rights")
        return
    if abs(ahead) > CLOCK_S:
        fact = f"the clock of the file system of results is {ahead:+.0f} s from this machine's: Snakemake compares them"
        yield wrong(fact, "have both set by NTP (see `chronyc tracking`)")
    else:
        yield right("the clocks of this machine and of the file system of results agree")


def _umask() -> Finding:
    mask = os.umask(0)
    os.umask(mask)
    if mask & 0o700:
        return wrong(f"umask {mask:04o} takes your own rights from what you write", "umask 0022, or 0027 or 0077")
    return right(f"umask {mask:04o}")


def _shared(path: Path, what: str) -> Finding:
    kind, mount = _file_system(_existing(path).resolve())
    if kind in SHARED:
        return right(f"{what}: on a shared file system ({kind}, {mount})")
    if kind in OWN:
        return wrong(f"{what}: on {kind} ({mount}), which no node can see", "move the project to a shared file system")
    mend = f"see whether a node has it: srun ls -d {path.resolve()}; if not, move the project to a shared file system"
    return doubtful(f"{what}: on {kind} ({mount}), a disk of this machine unless it is exported", mend)


def _file_system(path: Path) -> tuple[str, str]:
    """Type and mount point of what holds a path; of two mounts on one point the later counts."""
    found = ("an unknown file system", "/")
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return found
    for line in lines:
        before, _, after = line.partition(" - ")
        mount = before.split()[4].replace("\\040", " ")
        if path.is_relative_to(mount) and len(mount) >= len(found[1]):
            found = (after.split()[0], mount)
    return found


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.resolve().parents) if each.exists())


FILES = 20
"""Files of a run: its folder, outputs, log, and what Snakemake notes of each."""
_SAMPLE = 200


@dataclass(frozen=True, slots=True)
class Need:
    """Runs to go, the bytes that they will take by the mean of those done, and files."""

    runs: int
    size: int
    files: int


def need(results: Path) -> Need:
    """Of all studies planned in `results`; no bytes where no run is done."""
    runs = {run["path"]: run for plan in sorted(results.glob("studies/*/plan.json")) for run in _runs(plan)}
    root = results.resolve().parent
    waiting = [path for path in runs if not (root / path / "run.json").exists()]
    done = (root / path for path in runs.keys() - set(waiting))
    sizes = [_bytes(folder) for folder in islice(done, _SAMPLE)]
    return Need(len(waiting), int(fmean(sizes) * len(waiting)) if sizes else 0, FILES * len(waiting))


def _runs(plan: Path) -> Iterator[dict[str, Any]]:
    try:
        found = json.loads(plan.read_text(encoding="utf-8"))["runs"].values()
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return
    yield from (run for run in found if run["stage"] != "prepare")


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
