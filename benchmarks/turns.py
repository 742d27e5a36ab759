"""Arms of a benchmark that take turns, and what their table says of the machine."""

import os
import platform
import resource
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path

import torch
from demo import ROOT

Arms = dict[str, Callable[[], Iterator[int]]]
"""Way → what starts it; it gives the images of each batch once they are used."""


def cpu_seconds() -> float:
    """Of this process and of the workers that it has waited for."""
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + workers.ru_utime + workers.ru_stime


def gpu_seconds() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def rates(arms: Arms, rounds: int, where: torch.device, together: int | None = None) -> dict[str, list[float]]:
    """Images a CPU-second (on a GPU: a second) of each arm in each round; arms take turns of `together` batches."""
    seconds = gpu_seconds if where.type == "cuda" else cpu_seconds
    found: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(rounds + 1):
        running = {name: arm() for name, arm in arms.items()}
        images, spent = Counter(), Counter()
        while running:
            for name, batches in list(running.items()):
                start = seconds()
                sizes = list(islice(batches, together))
                spent[name] += seconds() - start
                images[name] += sum(sizes)
                if together is None or len(sizes) < together:
                    del running[name]
        if number:
            for name in arms:
                found[name].append(images[name] / spent[name])
    return found


def row(*cells: object) -> None:
    print("|", " | ".join(map(str, cells)), "|", flush=True)


def spread(values: list[float], digits: int) -> tuple[str, str]:
    """Median and range."""
    return f"{statistics.median(values):,.{digits}f}", f"{min(values):,.{digits}f} to {max(values):,.{digits}f}"


def over(values: list[float], others: list[float]) -> list[float]:
    return [one / other for one, other in zip(values, others, strict=True)]


def hardware(where: torch.device) -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    cpu = f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    return cpu if where.type == "cpu" else f"{torch.cuda.get_device_name(where)}, CUDA {torch.version.cuda}; {cpu}"


def versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for package in ("torch", "torchvision", "numpy", "pillow", "kornia"):
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join([*found, f"commit {commit()}"])


def commit() -> str:
    """Of this code, with a + where it was changed since; a copy without git is told by ESPALIER_COMMIT."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=10", "--dirty=+", "--exclude=*"]
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    return os.environ.get("ESPALIER_COMMIT", "unknown")
