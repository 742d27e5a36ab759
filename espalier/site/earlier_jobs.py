"""SLURM jobs that an earlier Snakemake has left in a folder: waited for, so that no run is done twice at a time."""

import io
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from pathlib import Path

from espalier.counted import counted

_ALIVE = "PENDING,RUNNING,SUSPENDED,COMPLETING"
_NAME = re.compile(r"(.+_)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Of a job that Snakemake's plugin has submitted: a prefix of the profile's, if any, and the id of a call."""
_RUNS_NOTHING = (
    *("archive", "cleanup_metadata", "cleanup_shadow", "conda_cleanup_envs", "conda_create_envs_only"),
    *("container_cleanup_images", "containerize", "d3dag", "dag", "delete_all_output", "delete_temp_output"),
    *("deploy_sources", "detailed_summary", "dryrun", "filegraph", "generate_unit_tests", "lint", "list_changes"),
    *("list_conda_envs", "list_input_changes", "list_params_changes", "list_rules", "list_target_rules"),
    *("list_untracked", "print_compilation", "rulegraph", "summary", "touch", "unlock"),
)
"""Words of Snakemake, as its parser names them, with which it does something else than running jobs."""


def executor(words: Sequence[str]) -> str | None:
    """The executor of a call of Snakemake with these arguments, by its own parser and profiles; None if it runs no
    jobs.

    Where the parser refuses the arguments, e.g. because Snakemake would change into another folder first, it is slurm.
    """
    from snakemake.cli import parse_args

    try:
        # Which profiles it reads it has said already.
        with redirect_stderr(io.StringIO()):
            _, args = parse_args(list(words))
    except SystemExit:
        return "slurm"
    reports = (args.report or args.reporter) and not args.report_after_run
    runs = not reports and not any(getattr(args, name) for name in _RUNS_NOTHING)
    return (args.executor or "local") if runs else None


def left(folder: Path) -> list[str]:
    """Ids of this user's jobs that a Snakemake has submitted from `folder` and that still wait or run.

    Empty also where SLURM does not answer, or there is none: what it cannot tell, it cannot run either.
    """
    if shutil.which("squeue") is None:
        return []
    words = ["squeue", "--noheader", f"--user={os.getuid()}", f"--states={_ALIVE}", "--format=%i|%j|%Z"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    rows = (line.split("|", 2) for line in done.stdout.splitlines() if line.count("|") >= 2)
    return [job for job, name, where in rows if _NAME.fullmatch(name) and Path(where) == Path(folder).resolve()]


def wait(folder: Path, told: Callable[[str], None], every_s: float = 10.0) -> None:
    """Return once no job of an earlier Snakemake is left for `folder`; `told` is given a line when there are some."""
    jobs = left(folder)
    if not jobs:
        return
    waiting = counted(len(jobs), "job of an earlier call is", "jobs of an earlier call are")
    told(
        f"{waiting} still waiting or running for this folder; what is made will be taken over. "
        f"To end it instead: scancel {' '.join(jobs[:20])}{' …' if len(jobs) > 20 else ''}"
    )
    while left(folder):
        time.sleep(every_s)
