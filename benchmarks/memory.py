"""Measures the memory of a run, and how it grows with the data set, the batch and the runs on one host.

    python benchmarks/memory.py [--images 5000 20000 80000] [--batches 32 128 512] [--together 1 2 4]

The runs are stage.py train with a small ResNet on images of 32×32, measured once they have ended an epoch. Printed are
the peak resident size of each, its proportional set size (a page mapped by several processes counts in part for each),
and the part of that which is the prepared data set. The images are noise, written as a prepared file; a tenth of them
is for validation. On a GPU its used memory is printed too, by nvidia-smi, less what was used before the runs began;
torch gives back nothing that it has used. No time is measured.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from demo import PYTHON, ROOT
from turns import hardware, row, versions

sys.path.insert(0, str(ROOT))

from espalier.data.prepared import Dataset, write
from espalier.site.pilot.gpus import gpus

RUN = ["model={name: resnet, channels: [8, 16, 32]}", "augment=[pad_crop]", "train.epochs=100000"]


def prepare(path: Path, images: int) -> None:
    """A data set of noise."""
    count = images + images // 10 + 100
    pixels = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    train, validation, test = torch.arange(count).split((images, images // 10, 100))
    splits = {"train": train, "validation": validation, "test": test}
    write(path, Dataset(pixels, torch.arange(count) % 10, splits, tuple("0123456789")), {"name": "noise"})


def kib(text: str, key: str) -> int:
    return sum(int(found) for found in re.findall(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE))


def of(process: int, data: Path) -> tuple[float, float, float]:
    """Peak, proportional set size and its part that maps the data, in MiB."""
    folder = Path("/proc", str(process))
    peak = kib((folder / "status").read_text(), "VmHWM")
    pss = kib((folder / "smaps_rollup").read_text(), "Pss")
    # Each mapping begins with a line of addresses that ends with its file.
    mapped = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", (folder / "smaps").read_text())
    shared = sum(kib(each, "Pss") for each in mapped if each.partition("\n")[0].endswith(data.name))
    return peak / 1024, pss / 1024, shared / 1024


def on_device() -> float:
    """MiB in use of the first GPU; by process they are not told inside a container or a virtual machine."""
    words = ["nvidia-smi", f"--id={gpus()[0]}", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure(images: int, batch: int, together: int, folder: Path) -> None:
    data = folder / f"noise{images}-00000000aa.safetensors"
    if not data.exists():
        prepare(data, images)
    place = Path(tempfile.mkdtemp(dir=folder))
    runs = [place / f"run-{seed:010x}" for seed in range(together)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    before = on_device() if gpus() else 0.0
    processes = [
        subprocess.Popen(
            [
                PYTHON,
                ROOT / "workflow/scripts/stage.py",
                "train",
                run,
                "--data",
                data,
                *RUN,
                f"train.batch_size={batch}",
                f"seed={seed}",
            ],
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        for seed, run in enumerate(runs)
    ]
    try:
        while not all((run / "history.csv").exists() for run in runs):
            if any(process.poll() is not None for process in processes):
                sys.exit("a run has ended")
            time.sleep(0.2)
        found = [of(process.pid, data) for process in processes]
        device = f"{on_device() - before:,.0f}" if gpus() else ""
    finally:
        for process in processes:
            process.kill()
            process.wait()
    peak, pss, shared = (sum(each[which] for each in found) for which in range(3))
    size = f"{data.stat().st_size / 2**20:,.0f}"
    cells = (f"{peak / together:,.0f}", f"{pss / together:,.0f}", f"{pss:,.0f}", f"{shared:,.0f}")
    row(f"{images:,}", size, batch, together, *cells, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[5000, 20000, 80000])
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--together", type=int, nargs="+", default=[1, 2, 4])
    args = parser.parse_args()
    where = torch.device("cuda" if gpus() else "cpu")
    if gpus():
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus()[0]
    print(f"{hardware(where)}; {versions()}; MiB\n")
    heads = ("peak a run", "proportional a run", "proportional, all", "of it the data set", "device")
    row("images", "file", "batch", "runs", *heads)
    row(*["---:"] * 9)
    middle = args.batches[len(args.batches) // 2]
    with tempfile.TemporaryDirectory() as name:
        for images in args.images:
            measure(images, middle, 1, Path(name))
        for batch in args.batches:
            measure(args.images[0], batch, 1, Path(name))
        for together in args.together:
            measure(args.images[-1], middle, together, Path(name))


if __name__ == "__main__":
    main()
