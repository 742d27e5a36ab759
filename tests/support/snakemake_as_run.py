"""Snakemake run as processes that find it imported, which takes it three seconds: each forked by one that imported it.

The processes are those of Python's own fork server. Commands of the documentation, and the cluster, start Snakemake as
a user does.
"""

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")
_IMPORTED = ["snakemake.cli", "snakemake_executor_plugin_slurm", "support.snakemake_as_run"]
_STREAMS = {1: "stdout", 2: "stderr"}


def of_a_user() -> dict[str, str]:
    """The environment without what pytest and coverage add: a copy's files are not those whose coverage is measured."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("COV", "PYTEST_"))}


def snakemake(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """Run Snakemake in a folder to its end."""
    environment = of_a_user()
    if sys.platform != "linux" or any(key.startswith("COV") for key in os.environ):
        command = [SNAKEMAKE, *words]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    with tempfile.TemporaryDirectory() as streams:
        process = _context().Process(target=_become, args=(words, folder, environment, Path(streams)))
        process.start()
        process.join()
        told = [Path(streams, name).read_text() for name in _STREAMS.values()]
    return subprocess.CompletedProcess(words, process.exitcode, *told)


@cache
def _context() -> multiprocessing.context.BaseContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context


def _become(words: tuple[str, ...], folder: Path, environment: dict[str, str], streams: Path) -> None:
    """Be Snakemake, in a process that is as a shell would have started it."""
    from snakemake.cli import main

    assert "espalier" not in sys.modules, "Snakemake imports that of its folder"
    for number, name in _STREAMS.items():
        os.dup2(os.open(streams / name, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # Workers of pytest write none.
    sys.dont_write_bytecode = False
    sys.argv = [str(SNAKEMAKE), *words]
    sys.path[:] = [str(SNAKEMAKE.parent), *(path for path in sys.path if not _of_tests(path))]
    try:
        main()
    finally:
        # What Python does at the end of a process that no other has forked.
        atexit._run_exitfuncs()


def _of_tests(path: str) -> bool:
    return any(Path(path).is_relative_to(ROOT / part) for part in ("tests", "espalier"))
