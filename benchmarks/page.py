"""Seconds to build the page of a study of many runs, and bytes of the page with everything it links beside it.

    python benchmarks/page.py [--runs 1000 5000]

The artifacts are those of benchmarks/aggregate.py: what runs of `train`, `prune` and `evaluate` leave, in equal parts,
in the format of the real ones and with made-up numbers. Built means tables, figures, index.html and explore.html, by
the script that the workflow calls. Bytes are those of the study's folder: these pages, the tables in four formats, the
figures in two, runs.csv and plan.json.
"""

import argparse
import os
import tempfile
from pathlib import Path

from aggregate import SCRIPTS, cost, finish, plan, write_plan
from demo import PYTHON

MIB = 2**20


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[1000])
    args = parser.parse_args()
    print(f"{'runs':>6}{'wall s':>8}{'CPU-s':>8}{'index MiB':>11}{'explore MiB':>13}{'folder MiB':>12}")
    for runs in args.runs:
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            study = plan(runs // 3, ("train", "prune", "evaluate"))
            path = write_plan(root, study)
            finish(root, study)
            os.chdir(root)
            folder = path.parent
            wall, used, _ = cost([PYTHON, SCRIPTS / "write_page.py", folder, "--plan", path], root)
            pages = [(folder / page).stat().st_size / MIB for page in ("index.html", "explore.html")]
            print(
                f"{len(study['runs']):6}{wall:8.1f}{used:8.1f}{pages[0]:11.2f}{pages[1]:13.2f}"
                f"{bytes_below(folder) / MIB:12.2f}",
                flush=True,
            )
            os.chdir("/")


if __name__ == "__main__":
    main()
