"""What a training run costs until its first step is done, over `import torch` and a first optimizer.

    python benchmarks/startup.py [--rounds 7] [--without-bytecode]

Arms are processes that take turns: bare ones, and stage.py train on the embedded digits. All of them end
as Python does, taking torch down. A run is given no time, so it stops after one step; what it needs to save its
state and tell so counts against it. CPU-seconds of all threads are those to read where others use the machine.
--without-bytecode adds the run as it is where nothing was compiled at installation.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from demo import ROOT
from turns import hardware, over, row, spread, versions

TORCH = "import torch"
OPTIMIZER = """
import torch
model = torch.nn.Linear(8, 8)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model(torch.ones(4, 8)).sum().backward()
optimizer.step()
"""
STOPPED = 75


def cost(command: list, code: int = 0, **more: str) -> tuple[float, float]:
    """CPU and wall seconds of a process that must end with `code`."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=os.environ | more, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != code:
        sys.exit(done.stderr)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def arms(folder: Path, without_bytecode: bool) -> dict[str, Callable[[int], tuple[float, float]]]:
    """Name → what measures it once, in the round with a number."""
    data = folder / "digits-00000000aa.safetensors"
    cost([sys.executable, ROOT / "workflow/scripts/stage.py", "prepare", data, "dataset.name=digits"])

    def train(name: str, **more: str) -> Callable[[int], tuple[float, float]]:
        def once(number: int) -> tuple[float, float]:
            run = folder / f"{name}-{number:010x}"
            words = [run, "--data", data, "--minutes", "0.0001", "model={name: resnet, channels: [8, 16, 32]}"]
            return cost([sys.executable, ROOT / "workflow/scripts/stage.py", "train", *words], STOPPED, **more)

        return once

    found = {
        "import torch": lambda _: cost([sys.executable, "-c", TORCH]),
        "import torch + first optimizer": lambda _: cost([sys.executable, "-c", OPTIMIZER]),
        "stage.py train": train("run"),
        "stage.py train again (A/A)": train("again"),
    }
    if without_bytecode:
        empty = {"PYTHONPYCACHEPREFIX": str(folder / "none"), "PYTHONDONTWRITEBYTECODE": "1"}
        found["stage.py train without byte-code"] = train("uncompiled", **empty)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--without-bytecode", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measured = arms(Path(name), args.without_bytecode)
        found: dict[str, list[tuple[float, float]]] = {arm: [] for arm in measured}
        for number in range(args.rounds + 1):
            for arm, once in measured.items():
                seconds = once(number)
                # The first round fills the page cache.
                if number:
                    found[arm].append(seconds)
    print(f"{hardware(torch.device('cpu'))}; {versions()}; load {os.getloadavg()[0]:.1f}; {args.rounds} rounds\n")
    row("process", "CPU-s", "range", "÷ torch + optimizer", "range", "÷ torch", "range", "wall s")
    row(*["---", *["---:"] * 7])
    cpu = {arm: [pair[0] for pair in pairs] for arm, pairs in found.items()}
    bare, optimizer = list(cpu)[:2]
    for arm, values in cpu.items():
        ratios = (*spread(over(values, cpu[optimizer]), 2), *spread(over(values, cpu[bare]), 2))
        row(arm, *spread(values, 2), *ratios, f"{statistics.median(pair[1] for pair in found[arm]):.1f}")


if __name__ == "__main__":
    main()
