"""What each rung from the usual training loop to Espalier's and beyond is worth, and how far each is from the bound.

    python benchmarks/step.py [--device cuda] [--rounds 5] [--images 512] [--resident 12800] [--batch 128]
        [--networks resnet20 demo …]

The first rung is the loop of the published reports: PIL images one by one in a DataLoader, fp32, NCHW, `loss.item()`
after every step. Each rung adds one thing to the one before it. The clock covers forward, backward, optimizer,
augmentation (crop and flip) and loading, in images a CPU-second (on a GPU: a second, after all that was begun there is
done); compilation, the first round and validation are outside of it: `epoch.py` has them inside. Arms take turns within
each round, a step each on a CPU, and a gain is a ratio within a round; the last row sets the last rung against itself.
On a GPU fp32 is torch's default there, with TF32 in convolutions. A CPU whose bf16 products are slower than those in
fp32 has no rung of bf16.

The bound is the time for the step's multiply-accumulates at the rate of a large matrix product (bf16, and fp32 where
there is no such rung), or for the bytes that its activations (in the same type), parameters and gradients must move at
the rate of a large copy, whichever is longer. Both rates are measured here; what stays in a cache moves faster.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from data_loaders import pil_batches
from data_path import CROP_FLIP, first, prepare
from demo import ROOT
from turns import Arms, hardware, over, rates, row, spread, versions

sys.path.insert(0, str(ROOT))

from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from espalier.data.policy import Policy
from espalier.data.prepared import Prepared
from espalier.data.resident import Resident
from espalier.metrics.cost import params, training_macs
from espalier.metrics.layer_inputs import saved_bytes
from espalier.settings.registry import choice

NETWORKS = {
    "demo": {"name": "resnet", "channels": [8, 16, 32]},
    "resnet20": "resnet20",
    "resnet18": {"name": "resnet_imagenet"},
    "resnet18_cifar": "resnet18_cifar",
    "mobilenetv2": "mobilenetv2",
    "mobilenetv2_projected": "mobilenetv2_projected",
    "densenet121_cifar": "densenet121_cifar",
}
RUNGS = (
    "reports' loop",
    "resident data",
    "channels_last",
    "bf16",
    "no sync",
    "fused optimizer",
    "compiled",
    "CUDA graph",
)
_TOUCHED = 6
"""Times that a step reads or writes a parameter or what belongs to it: value, gradient, momentum, each both ways."""


class Loop:
    """Training steps with all that some rungs add."""

    def __init__(self, network: object, data: Resident, pil: Callable, rungs: tuple[str, ...], batch: int) -> None:
        self.where, self.rungs, self.batch = data.device, rungs, batch
        torch.manual_seed(0)
        made = TypeAdapter(choice("model")).validate_python(network)
        model = made.build(data.num_classes, data.image_size, data.channels)
        layout = torch.channels_last if self._has("channels_last") else torch.contiguous_format
        self.model = model.to(self.where, memory_format=layout).train()
        fused = self._has("fused optimizer") or None
        self.optimizer = torch.optim.SGD(
            model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=fused
        )
        self._call: nn.Module | Callable = self.model
        if self._has("compiled"):
            mode = "reduce-overhead" if self._has("CUDA graph") else "default"
            self._call = torch.compile(self.model, mode=mode, dynamic=False)
        self._pil, self._data = pil, data

    def __call__(self) -> Iterator[int]:
        """An epoch; gives the images of each step."""
        cast = torch.autocast(self.where.type, torch.bfloat16) if self._has("bf16") else nullcontext()
        for inputs, labels in self._batches():
            # As in training: only full batches have the shape that was compiled.
            call = self._call if len(labels) == self.batch else self.model
            with cast:
                loss = cross_entropy(call(inputs).float(), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            if not self._has("no sync"):
                loss.item()
            yield len(labels)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        if not self._has("resident data"):
            for inputs, labels in self._pil():
                yield inputs.to(self.where), labels.to(self.where)
            return
        read = TypeAdapter(tuple[choice("augmentation"), ...]).validate_python(CROP_FLIP)
        for batch in self._data.train_batches(
            Policy(read), epoch=1, seed=0, batch_size=self.batch, channels_last=self._has("channels_last")
        ):
            yield batch.inputs, batch.labels

    def _has(self, rung: str) -> bool:
        return rung in self.rungs


@dataclass(frozen=True)
class Peaks:
    """What a device does at best."""

    type: torch.dtype
    macs: float
    """multiply-accumulates a second of a large product in this type"""
    bytes: float
    """bytes a second of a large copy"""

    @classmethod
    def of(cls, where: torch.device) -> "Peaks":
        side, copied = (8192, 1 << 30) if where.type == "cuda" else (2048, 1 << 28)
        types = (torch.bfloat16, torch.float32)
        # Without such instructions a large product in bf16 takes very long.
        type_ = types[0] if where.type == "cuda" else max(types, key=lambda each: product(256, each, where))
        source, target = torch.ones(2, copied, dtype=torch.uint8, device=where)
        return cls(type_, product(side, type_, where), 2 * copied / fastest(lambda: target.copy_(source), where))


def product(side: int, type_: torch.dtype, where: torch.device) -> float:
    """Multiply-accumulates a second of a product of square matrices."""
    one = torch.randn(side, side, device=where, dtype=type_)
    return side**3 / fastest(lambda: one @ one, where)


def fastest(work: Callable, where: torch.device) -> float:
    """Seconds, the least of ten."""
    found = []
    for _ in range(10):
        if where.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if where.type == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return min(found)


def bound(model: nn.Module, size: int, channels: int, batch: int, peaks: Peaks) -> float:
    """Images a second that no step of a batch can pass: every kept activation is written once and read once."""
    # What fp32 keeps is counted once: the bytes of both ways in bf16.
    activations = saved_bytes(model, size, channels) * peaks.type.itemsize / torch.bfloat16.itemsize
    moved = activations + 4 * _TOUCHED * params(model) / batch
    return 1 / max(training_macs(model, size, channels) / peaks.macs, moved / peaks.bytes)


def rungs_of(where: torch.device, peaks: Peaks, compiles: bool) -> tuple[str, ...]:
    """The rungs that there are on a device."""
    left_out = {
        "bf16": peaks.type != torch.bfloat16,
        "compiled": not compiles,
        "CUDA graph": not compiles or where.type != "cuda",
    }
    return tuple(rung for rung in RUNGS if not left_out.get(rung))


def ladder(name: str, data: Prepared, where: torch.device, args: argparse.Namespace, peaks: Peaks) -> None:
    few = first(data, args.images)
    small = Resident(first(data, args.resident) if where.type == "cuda" else few, where)
    read = TypeAdapter(tuple[choice("augmentation"), ...]).validate_python(CROP_FLIP)
    pil = pil_batches(few, read, args.batch, 0)
    rungs = rungs_of(where, peaks, args.compile)
    loops = {rung: Loop(NETWORKS[name], small, pil, rungs[: place + 1], args.batch) for place, rung in enumerate(rungs)}
    arms: Arms = dict(loops)
    arms["again"] = loops[rungs[-1]]
    found = rates(arms, args.rounds, where, None if where.type == "cuda" else 1)
    before = found[RUNGS[0]]
    most = bound(loops[RUNGS[0]].model, small.image_size, small.channels, args.batch, peaks)
    for rung, values in found.items():
        if rung == "again":
            row(
                name,
                "control: the last rung ÷ itself",
                "",
                "",
                *spread(over(values, found[rungs[-1]]), 3),
                "",
                "",
            )
            continue
        gain, whole_gain = spread(over(values, before), 2), spread(over(values, found[RUNGS[0]]), 2)
        share = f"{100 * float(sorted(values)[len(values) // 2]) / most:.1f}"
        row(name, rung, *spread(values, 0), *gain, whole_gain[0], share)
        before = values
    if args.compile:
        torch._dynamo.reset()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=512, help="a round, of the PIL loop and of every loop on a CPU")
    parser.add_argument("--resident", type=int, default=12_800, help="images a round of the other loops on a GPU")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.safetensors"
        prepare(path)
        data = Prepared.read(path, ("train",))
        print(f"# The training step, {datetime.now(UTC):%Y-%m-%d}\n")
        print(f"{hardware(args.device)}; {versions()}.")
        peaks = Peaks.of(args.device)
        print(f"`python benchmarks/step.py {' '.join(sys.argv[1:])}`, {data.settings['name']}; a product makes")
        print(f"{peaks.macs / 1e9:,.1f} GMAC/s ({str(peaks.type).removeprefix('torch.')}) and a copy moves")
        print(f"{peaks.bytes / 1e9:,.1f} GB/s.\n")
        unit = "s" if args.device.type == "cuda" else "CPU-s"
        row(
            "network",
            "rung",
            f"images a {unit}",
            "range",
            "× the rung before",
            "range",
            "× the first",
            "% of the bound",
        )
        row(*["---"] * 8)
        for name in args.networks:
            ladder(name, data, args.device, args, peaks)


if __name__ == "__main__":
    main()
