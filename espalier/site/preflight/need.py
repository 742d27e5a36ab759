"""What the runs that the plans ask for, and that are not done, will take on disk."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

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
    waiting = [path for path in runs if not (root / path / "metrics.csv").exists()]
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
