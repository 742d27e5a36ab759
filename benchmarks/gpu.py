"""A quarter of an hour on one GPU: what it can do, whether every network trains on it, and how fast.

    ESPALIER_DATA=ROOT python benchmarks/gpu.py FOLDER [--reduced] [--parts ceilings networks …] [--share 0.5]

Parts, in the order of what they are worth, each with its deadline in seconds:

    ceilings     10   multiply-accumulates and bytes a second of large products and copies
    networks     90   one deterministic training step of every network in fp32 and bf16: its seconds, or why it fails
    epochs       60   seconds an epoch of four networks in fp32, and in bf16 with and without a graph: whole trainings
    efficiency   75   training steps with the real data path over those with one constant batch, five policies
    packing      90   1, 2, 4 and 8 small runs at once beside one after the other, with and without an MPS server
    target       90   ResNet-18 in bf16, trained to its end and scored on the test split: goal 94 %
    rungs       120   what each step from the usual loop to one CUDA graph gains (`step.py`)

Each part is a process of its own, forked from this one once all is imported, so that none pays the imports again and
none ends another. What it has measured stands in FOLDER/PART.md at once; at its deadline it is ended, and what it has
said by then stays. --share cuts all deadlines to a part. Without a GPU all runs on the CPU: --reduced makes each part
so small that the whole ends in minutes, which shows that it works.

It needs torch, torchvision, accelerate, timm, numba, scikit-learn, scipy, pandas, safetensors, tqdm, pydantic,
ruamel.yaml, pytorch-optimizer and psutil; no Snakemake.
"""

import argparse
import csv
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import data_path
import step
import torch
from demo import PYTHON, ROOT
from epoch import NETWORKS, WAYS
from turns import hardware, row, versions

sys.path.insert(0, str(ROOT))

from pydantic import TypeAdapter
from torch.nn.functional import cross_entropy

from espalier.data.prepared import Prepared
from espalier.models import rules
from espalier.runs.clock import Clock
from espalier.runs.interruption import Interruption
from espalier.runs.progress import Heartbeat
from espalier.settings.registry import choice, entries
from espalier.settings.words import parse
from espalier.site import device
from espalier.site.pilot.gpus import gpus
from espalier.stages import STAGES
from espalier.stages.frame.stage_run import StageRun, make

TARGET = [
    "augment=[{name: pad_crop, padding: 4}, horizontal_flip, {name: cutout, size: 8}]",
    *("train.batch_size=256", "train.optimizer={name: sgd, lr: 0.2, weight_decay: 5e-4}", "train.scheduler=one_cycle"),
    *("train.label_smoothing=0.1", "train.precision=bf16"),
]
EPOCHS = {
    **{way: WAYS[way] for way in ("fp32", "bf16")},
    "bf16, kernel by kernel": [*WAYS["bf16"], "train.cuda_graph=false"],
}
SMALL = ["model={name: resnet, blocks: [1], channels: [8]}", "train.epochs=1"]
SIDES = (32, 64, 28, 224)
"""Sides of images, of which a network gets the first that it takes."""


class Sizes:
    """How much each part does."""

    def __init__(self, reduced: bool) -> None:
        self.images = 512 if reduced else None
        """to train on; None for all"""
        self.batch = 8 if reduced else 128
        self.epochs = 1 if reduced else 3
        self.target = "model=resnet20" if reduced else "model=resnet18_cifar"
        self.target_epochs = 1 if reduced else 30
        self.rounds = 1 if reduced else 3
        self.packing = [*SMALL, "--together", "1", "2"] if reduced else ["--together", "1", "2", "4", "8"]
        self.networks = ["resnet20"] if reduced else list(NETWORKS)
        self.rung_networks = ["demo"] if reduced else ["resnet18_cifar", "mobilenetv2_projected", "densenet121_cifar"]
        self.every = slice(0, None, 12) if reduced else slice(None)
        self.policies = dict(list(data_path.POLICIES.items())[:: 4 if reduced else 1])


def ceilings(data: Path, where: torch.device, sizes: Sizes) -> None:
    """What the device does at best."""
    peaks = step.Peaks.of(where)
    side = 8192 if where.type == "cuda" else 1024
    row("of", "G a second")
    row("---", "---:")
    row(f"multiply-accumulates, {str(peaks.type).removeprefix('torch.')}", f"{peaks.macs / 1e9:,.0f}")
    row("multiply-accumulates, fp32", f"{step.product(side, torch.float32, where) / 1e9:,.0f}")
    row("bytes of a copy", f"{peaks.bytes / 1e9:,.0f}")


def networks(data: Path, where: torch.device, sizes: Sizes) -> None:
    """A deterministic step of every network."""
    device.prepare()
    row("network", "side", "fp32, ms", "bf16, ms")
    row("---", "---:", "---:", "---:")
    for name, entry in list(entries("model").items())[sizes.every]:
        asked = TypeAdapter(choice("model")).validate_python(name)
        fits = [side for side in SIDES if not rules.misfit(entry, asked.settings(), side, 3)]
        cells = [_stepped(asked, fits[0], where, sizes.batch, precision) for precision in ("fp32", "bf16") if fits]
        row(name, fits[0] if fits else "–", *(cells or ("takes none of the sides", "")))


def _stepped(asked, side: int, where: torch.device, batch: int, precision: str) -> str:
    """Milliseconds of the second step of a network, or why it has none."""
    try:
        torch.manual_seed(0)
        model = asked.build(10, side, 3).to(where, memory_format=torch.channels_last).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        inputs = torch.randn(batch, 3, side, side, device=where).to(memory_format=torch.channels_last)
        labels = torch.arange(batch, device=where) % 10
        for _ in range(2):
            begun = time.perf_counter()
            with torch.autocast(where.type, torch.bfloat16, enabled=precision == "bf16"):
                outputs = model(inputs)
            outputs = outputs if isinstance(outputs, torch.Tensor) else outputs[0]
            cross_entropy(outputs.float(), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
            if where.type == "cuda":
                torch.cuda.synchronize()
            seconds = time.perf_counter() - begun
    except (RuntimeError, ValueError, TypeError) as error:
        return f"**{type(error).__name__}**: {str(error).splitlines()[0][:100]}"
    return f"{1000 * seconds:.1f}"


def epochs(data: Path, where: torch.device, sizes: Sizes) -> None:
    """Seconds an epoch."""
    row("network", "way", "first epoch, s", "a later one, s", "images a s", "validation top-1")
    row("---", "---", *["---:"] * 4)
    with tempfile.TemporaryDirectory() as folder:
        for network in sizes.networks:
            for way, more in EPOCHS.items():
                words = [*NETWORKS[network], *more, f"train.epochs={sizes.epochs}"]
                run = Path(folder, f"{network}-{way}".replace(" ", "-") + "-0000000001")
                if not _trained(run, data, words):
                    row(network, way, "**failed**; the reason stands on stderr", *[""] * 3)
                    continue
                with (run / "history.csv").open() as file:
                    lines = [{name: float(text) for name, text in line.items()} for line in csv.DictReader(file)]
                later = lines[1:] or lines
                seconds = statistics.median(line["epoch_s"] for line in later)
                images = statistics.median(line["images_per_s"] for line in later)
                found = f"{seconds:.2f}", f"{images:,.0f}", f"{lines[-1]['validation_top1']:.2f}"
                row(network, way, f"{lines[0]['epoch_s']:.2f}", *found)


def _trained(folder: Path, data: Path, words: list[str]) -> bool:
    """Whether a run of the stage train came to its end. It is made in a process of its own, since Accelerate keeps one
    precision a process."""
    folder.mkdir()
    spec = parse(STAGES["train"].settings, words)
    run = StageRun(folder, Interruption(), Heartbeat(folder), 60.0, Clock(), STAGES["train"], spec, data)
    return not forked(lambda: make(run))


def efficiency(data: Path, where: torch.device, sizes: Sizes) -> None:
    """The speed that the data path leaves."""
    policies = list(data_path.known(sizes.policies))
    asked = SimpleNamespace(networks=["ResNet-8 (16-32-64)"], rounds=sizes.rounds, precision="bf16")
    if where.type == "cpu":
        asked.precision = "fp32"
    prepared = Prepared.read(data, ("train",))
    data_path.efficiency_table(prepared, where, asked, sizes.images or len(prepared.splits["train"].labels), policies)


def packing(data: Path, where: torch.device, sizes: Sizes) -> None:
    """Runs at once."""
    words = [PYTHON, ROOT / "benchmarks/packing.py", *sizes.packing, "--rounds", "1"]
    subprocess.run(words, check=True)


def target(data: Path, where: torch.device, sizes: Sizes) -> None:
    """ResNet-18 to its end."""
    with tempfile.TemporaryDirectory() as name:
        folder, begun = Path(name, "resnet18-0000000001"), time.perf_counter()
        words = [sizes.target, *TARGET, f"train.epochs={sizes.target_epochs}"]
        if not _trained(folder, data, words):
            sys.exit("the training failed")
        trained = time.perf_counter() - begun
        score = Path(name, "score-0000000002")
        script = [PYTHON, ROOT / "workflow/scripts/stage.py", "evaluate", score, "--parents", folder, "--data", data]
        subprocess.run(script, check=True, stderr=subprocess.DEVNULL)
        with (score / "metrics.csv").open() as file:
            (found,) = csv.DictReader(file)
        row("network", "epochs", "s of training", "test top-1")
        row("---", *["---:"] * 3)
        row(words[0].partition("=")[2], sizes.target_epochs, f"{trained:.1f}", f"{float(found['test_top1']):.2f}")
        print(f"\n`{' '.join(words)}`")


def rungs(data: Path, where: torch.device, sizes: Sizes) -> None:
    """From the usual loop to one graph."""
    peaks = step.Peaks.of(where)
    compiles = where.type == "cuda"
    asked = SimpleNamespace(images=256, resident=12_800, batch=min(128, 16 * sizes.batch), rounds=sizes.rounds)
    asked.compile = compiles
    row("network", "rung", "images a s", "range", "× the rung before", "range", "× the first", "% of the bound")
    row(*["---"] * 8)
    for name in sizes.rung_networks:
        step.ladder(name, Prepared.read(data, ("train",)), where, asked, peaks)


PARTS: dict[str, tuple[Callable[[Path, torch.device, Sizes], None], int]] = {
    "ceilings": (ceilings, 10),
    "networks": (networks, 90),
    "epochs": (epochs, 60),
    "efficiency": (efficiency, 75),
    "packing": (packing, 90),
    "target": (target, 90),
    "rungs": (rungs, 120),
}
_PREPARING_S = 120


def forked(work: Callable[[], None], file: Path | None = None, deadline: float = float("inf")) -> str:
    """Run `work` in a process forked from this one; returns how it failed, empty if it ended well.

    Args:
        file: its output is appended here as it comes; None for this process's own output
        deadline: seconds after which it is killed, with all that it started
    """
    sys.stdout.flush()
    child = os.fork()
    if not child:
        if file:
            # A group of its own, which is ended together.
            os.setsid()
            sys.stdout = file.open("a", buffering=1, encoding="utf-8")
            os.dup2(sys.stdout.fileno(), 1)
        code = 0
        try:
            work()
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        os._exit(code)
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "" if os.waitstatus_to_exitcode(status) == 0 else "failed; the reason stands on stderr"
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return f"ended at its deadline of {deadline:.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the tables are written, a file a part")
    parser.add_argument("--reduced", action="store_true", help="parts so small that a CPU ends in minutes")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--share", type=float, default=1.0, help="of each deadline")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    # Where the library is not installed, scripts of other processes find it all the same.
    os.environ["PYTHONPATH"] = str(ROOT)
    if cards := gpus():
        os.environ["CUDA_VISIBLE_DEVICES"] = cards[0]
    where = torch.device("cuda" if cards else "cpu")
    sizes, data, failed = Sizes(args.reduced), args.folder / "data-00000000aa.safetensors", []
    if not data.exists():
        why = forked(lambda: data_path.prepare(data, sizes.images), args.folder / "prepare.md", _PREPARING_S)
        (args.folder / "prepare.md").unlink()
        if why:
            sys.exit(f"preparing {why}")
    for name in args.parts:
        work, seconds = PARTS[name]
        file, begun = args.folder / f"{name}.md", time.monotonic()
        file.write_text(f"## {name}\n\n{work.__doc__}\n\n", encoding="utf-8")
        # Only a child may start CUDA, as asking for the GPU's name does: after that a process cannot be forked for it.
        why = forked(lambda work=work: work(data, where, sizes), file, seconds * args.share)
        took = time.monotonic() - begun
        with file.open("a", encoding="utf-8") as out:
            out.write(f"\n{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {took:.0f} s{', ' + why if why else ''}.\n")
        failed += [name] * why.startswith("failed")
        print(f"{name}: {took:.1f} s{', ' + why if why else ''}", flush=True)
    forked(lambda: print(f"{hardware(where)}; {versions()}"), args.folder / "machine.md", 60)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
