"""Breaks a room of the library in thousands of small ways, and lists those that its tests do not see.

    uv run --with mutmut==3.8.1 python benchmarks/mutants.py coding [--folder FOLDER] [--only 'espalier.coding.ladder*']

mutmut (https://mutmut.readthedocs.io) changes one operator, number, word or argument at a time, and runs the tests that
call the function until one fails. A mutant that no test sees has survived: it makes the same results in another way, or
a test is missing. It works on a copy of the files that git tracks, as they stand in the working tree.

Printed are mutants and killed ones a file. SURVIVORS (a table of tab-separated values) gets a line for each one that
survived. With --folder the copy is kept; called again it goes on, and tries again what has survived or was changed.
"""

import argparse
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Room(NamedTuple):
    """Files that are broken, and the tests that are asked."""

    files: list[str]
    tests: list[str]


ROOMS = {
    "plan": Room(["espalier/plan/*"], ["tests/plan"]),
    "coding": Room(["espalier/coding/*"], ["tests/coding"]),
    "statistics": Room(
        ["espalier/results/compare/*"],
        [
            "tests/results/test_small_samples.py",
            "tests/results/test_verdict_words.py",
            "tests/results/test_importance_shares.py",
            "tests/results/test_statistics.py",
            "tests/results/test_comparison_table.py",
            "tests/results/test_pareto.py",
            "tests/results/test_checklist.py",
            "tests/results/test_search_results.py",
            "tests/results/test_sweep_figures.py",
        ],
    ),
    "records": Room(["espalier/runs/*"], ["tests/runs"]),
}
LEFT_OUT = [
    "tests/coding/test_c_decoder.py",
    "tests/plan/test_dry_run.py",
    "tests/plan/test_presets.py",
    "tests/plan/test_studies_published_a.py",
    "tests/plan/test_studies_published_b.py",
    "tests/results/test_comparison_table.py::test_equal_rows_seldom_lose_the_first_place",
    "tests/results/test_search_results.py::test_importance_is_the_share_of_the_variance",
    "tests/results/test_statistics.py::test_so_many_repeats_resolve_it_as_often_as_power_says",
    "tests/results/test_statistics.py::test_three_points_are_found_by_three_repeats_of_360_images",
    "tests/results/test_statistics.py::test_verdicts_err_as_seldom_as_they_say",
    "tests/runs/test_tracking.py",
    "tests/runs/test_wandb.py",
]
"""Tests that mostly start processes, in which nothing is broken, or take long, as simulations do."""
UNBROKEN = ["espalier/coding/mixing.py", "espalier/runs/trackers.py"]
"""Numba compiles the first, whose bits tests of the C decoder hold; what the second
tells is tested in processes, with the libraries that it tells."""

_SEEN = ("killed", "timeout", "segfault")
_MEMORY = 8 << 30
"""Bytes that a process may hold: a broken loop that only collects would take all of the machine."""


def prepare(folder: Path, room: Room) -> None:
    """Copy what git tracks, and say in the copy's pyproject.toml what mutmut shall do."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    others = {name.split("/")[0] for name in names.split("\0") if name} - {"espalier", "tests", "pyproject.toml"}
    settings = {
        "source_paths": ["espalier"],
        "only_mutate": room.files,
        "do_not_mutate": UNBROKEN,
        "also_copy": sorted(others),
        "pytest_add_cli_args_test_selection": [*room.tests, *(f"--deselect={name}" for name in LEFT_OUT)],
    }
    with (folder / "pyproject.toml").open("a") as file:
        file.write("\n[tool.mutmut]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))


def found(room: Room) -> Iterator[tuple[Path, str, str]]:
    """File, name and status of each mutant of the working directory's copy."""
    from mutmut.stats import status_by_exit_code

    for pattern in room.files:
        for path in sorted(Path("mutants").glob(f"{pattern}.py.meta")):
            source = path.relative_to("mutants").with_suffix("")
            for name, code in json.loads(path.read_text())["exit_code_by_key"].items():
                yield source, name, status_by_exit_code[code]


def change(name: str, source: Path) -> tuple[str, str]:
    """The line before and after; empty where it cannot be shown."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    try:
        lines = get_diff_for_mutant(name, path=source).splitlines()[2:]
    except FileNotFoundError:
        # mutmut finds no method of two classes of one name.
        return "", ""
    return tuple(" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--folder", type=Path, help="keep the copy here")
    parser.add_argument("--only", nargs="*", default=[], metavar="PATTERN", help="names of functions, with *")
    parser.add_argument("--children", type=int, default=1, help="mutants tried at once")
    parser.add_argument("--survivors", type=Path, help="table of those that survived")
    args = parser.parse_args()
    room = ROOMS[args.room]
    survivors = args.survivors and args.survivors.resolve()
    folder = args.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    prepare(folder, room)
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(args.children), *args.only]
    subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)

    counts: dict[Path, list[int]] = {}
    rows = []
    for source, name, status in found(room):
        if status in ("not checked", "check was interrupted by user"):
            continue
        total = counts.setdefault(source, [0, 0])
        total[0] += 1
        total[1] += status in _SEEN
        if status not in _SEEN:
            rows.append([str(source), name.rsplit(".", 1)[-1], status, *change(name, source)])
    for source, (made, killed) in counts.items():
        print(f"{source!s:50} {killed:5} of {made:5} {killed / made:6.1%}")
    made, killed = map(sum, zip(*counts.values(), strict=True))
    print(f"{args.room:50} {killed:5} of {made:5} {killed / made:6.1%}")
    if survivors:
        with survivors.open("w", newline="") as file:
            table = csv.writer(file, delimiter="\t", lineterminator="\n")
            table.writerow(["file", "mutant", "status", "before", "after"])
            table.writerows(rows)
    if not args.folder:
        os.chdir(ROOT)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
