"""SLURM jobs that an earlier Snakemake has left in a folder: waited for, so that no run is done twice at a time."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_ALIVE = "PENDING,RUNNING,SUSPENDED,COMPLETING"
_DRY = {"-n", "--dry-run", "--dryrun", "--unlock", "--lint", "--summary", "--report", "--dag", "--rulegraph"}


def submits(words: Sequence[str]) -> bool:
    """Whether a command line of Snakemake will submit jobs to SLURM, as far as its words tell."""
    named = any("slurm" in Path(word).name for word in [*words, os.environ.get("SNAKEMAKE_PROFILE", "")])
    return named and not _DRY & set(words) and shutil.which("sbatch") is not None


def left(folder: Path, prefix: str = "espalier_") -> list[str]:
    """Ids of this user's jobs that still wait or run for `folder`, their names beginning with `prefix`.

    Empty also where SLURM does not answer: what it cannot tell, it cannot run either.
    """
    words = ["squeue", "--noheader", f"--user={os.getuid()}", f"--states={_ALIVE}", "--format=%i|%j|%Z"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    rows = (line.split("|", 2) for line in done.stdout.splitlines() if line.count("|") >= 2)
    return [job for job, name, where in rows if name.startswith(prefix) and Path(where) == Path(folder).resolve()]


def wait(folder: Path, told: Callable[[str], None], every_s: float = 10.0) -> None:
    """Return once no job of an earlier Snakemake is left for `folder`; `told` is given a line when there are some."""
    jobs = left(folder)
    if not jobs:
        return
    told(
        f"{len(jobs)} job(s) of an earlier call still wait or run for this folder; their results will be taken over. "
        f"To end them instead: scancel {' '.join(jobs[:20])}{' …' if len(jobs) > 20 else ''}"
    )
    while left(folder):
        time.sleep(every_s)
