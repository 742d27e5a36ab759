"""Seconds to tell the state of a study of many runs, from the files that the runs write.

    python benchmarks/status.py [--runs 1000 10000] [--rounds 5]

The runs, trained and evaluated in equal parts, are written to a temporary folder: a third done, a third running, the
rest failed, silent or waiting. The script is called as a user calls it; the least of the rounds is shown beside the
bare start of the interpreter.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aggregate import finish, plan, text
from demo import PYTHON


def unsettle(root: Path, study: dict) -> None:
    """Take most of the finished runs back: of every six, two are done, two run, and one has failed or been lost."""
    for number, run in enumerate(run for run in study["runs"].values() if run["stage"] != "prepare"):
        if number % 6 < 2:
            continue
        folder = root / run["path"]
        (folder / "run.json").unlink()
        state = {2: "running", 3: "running", 4: "failed"}.get(number % 6, "waiting")
        silent = 600 if number % 12 == 5 else 0
        said = {"state": "running" if silent else state, "pid": os.getpid(), "host": platform.node()}
        said |= {"time": time.time() - silent, "epoch": 3, "epochs": 6, "top1": 91.25, "seconds_left": 75.0}
        (folder / "heartbeat.json").write_text(json.dumps(said))
        (folder / "run.log").write_text(f"{time.strftime('%Y-%m-%d %H:%M:%S')} INFO 6 epochs\nerror: out of memory\n")


def seconds(command: list, folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of a command."""
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command}: exit code {process.returncode}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(f"{'runs':>7}{'wall s':>9}{'CPU s':>8}{'bare start':>12}")
    for runs in args.runs:
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            study = plan(runs // 2, stages=("train", "evaluate"))
            (root / "config/studies").mkdir(parents=True)
            (root / "config/config.yaml").write_text("studies: [many]\n")
            (root / "config/studies/many.yaml").write_text(text(runs // 2, ("train", "evaluate")))
            finish(root, study)
            unsettle(root, study)
            told = [seconds([PYTHON, "-m", "espalier", "status"], root) for _ in range(args.rounds)]
            bare = min(seconds([PYTHON, "-c", ""], root)[0] for _ in range(args.rounds))
            wall, cpu = (min(times) for times in zip(*told, strict=True))
            print(f"{runs:7}{wall:9.2f}{cpu:8.2f}{bare:12.2f}")


if __name__ == "__main__":
    main()
