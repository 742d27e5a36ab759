"""A call whose first runs all fail alike is stopped: `fail_fast` of config/config.yaml says after how many.

Every run of a call writes how it ended into one file. Snakemake's main process looks at it, and starts no more jobs
when it is time; runs that are started all the same, since they were submitted before, end at once.
"""

import atexit
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from espalier.counted import counted

VARIABLE = "ESPALIER_FAIL_FAST"
"""Environment variable with the number of runs and the file, parted by a blank."""
_LOOK_S = 2.0
_VARYING = re.compile(r"\S*/\S*|[0-9a-f]{10}|\d+(\.\d+)?")
"""What differs between two failures of one kind: paths, ids, numbers."""


def watch(number: int, folder: Path, stop: Callable[[], object]) -> None:
    """Watch the runs of the call that this process makes, in a thread.

    Args:
        number: runs, the first to end, that must all fail alike
        folder: where the file lies that they write
        stop: has Snakemake start no more jobs, and wait for those at work
    """
    folder.mkdir(parents=True, exist_ok=True)
    # What calls before have left.
    for path in folder.glob(".ended-*"):
        path.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=".ended-")
    os.close(handle)
    os.environ[VARIABLE] = f"{number} {Path(name).resolve()}"
    atexit.register(Path(name).resolve().unlink, missing_ok=True)
    threading.Thread(target=_watch, args=(stop,), daemon=True).start()


def _watch(stop: Callable[[], object]) -> None:
    while (reason := stopped()) is None:
        time.sleep(_LOOK_S)
    print(f"{reason}: no more runs are started", file=sys.stderr, flush=True)
    # No signal: its handler takes a lock that the thread which it interrupts may hold.
    stop()


def ended(failure: str | None) -> None:
    """Note that a run of the call has ended, and of what it failed; None where it did not."""
    if path := _watched()[1]:
        with suppress(OSError), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(failure) + "\n")


def stopped() -> str | None:
    """Why the call starts no more runs; None where it does."""
    number, path = _watched()
    if path is None:
        return None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[:number]
    except OSError:
        return None
    failures = [json.loads(line) for line in lines]
    if len(failures) < number or None in failures or len({_VARYING.sub("", failure) for failure in failures}) > 1:
        return None
    runs = counted(number, "run of this call has failed", "runs of this call have all failed alike")
    return f"fail_fast: the first {runs} ({failures[0]})"


def _watched() -> tuple[int, Path | None]:
    number, _, path = os.environ.get(VARIABLE, "").partition(" ")
    return (int(number), Path(path)) if path else (0, None)
