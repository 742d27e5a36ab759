"""Measures what compiling a training step costs and gains, and after how many steps it pays off.

    python benchmarks/compiling.py [--device cuda] [--rounds 5] [--steps 20] [--batch 128] [--networks demo resnet20 …]
        [--precision bf16]

A step is forward, backward and optimizer on one batch of noise that lies on the device, in NHWC, with one thread on a
CPU. Eager and compiled steps take turns. Times are CPU-seconds, on a GPU seconds until all its work is done. The time
of compiling is that of the first compiled step, from an empty cache, less that of an eager step.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable

import torch
from demo import ROOT
from step import NETWORKS
from turns import cpu_seconds, gpu_seconds, hardware, over, row, spread, versions

sys.path.insert(0, str(ROOT))

from pydantic import TypeAdapter
from torch.nn.functional import cross_entropy

from espalier.metrics.cost import training_macs
from espalier.settings.registry import choice


def stepper(network: object, args: argparse.Namespace, compiled: bool) -> tuple[Callable, int]:
    """A training step, and its multiply-accumulates."""
    where, batch = args.device, args.batch
    size = 16 if network == NETWORKS["demo"] else 32
    torch.manual_seed(0)
    model = TypeAdapter(choice("model")).validate_python(network).build(10, size)
    macs = batch * training_macs(model, size)
    model = model.to(where, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    inputs = torch.randn(batch, 3, size, size, device=where).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch,), device=where)
    call = torch.compile(model, dynamic=False) if compiled else model
    cast = torch.autocast(where.type, torch.bfloat16, enabled=args.precision == "bf16")

    def step() -> None:
        with cast:
            outputs = call(inputs)
        cross_entropy(outputs.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step, macs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="of each way in a round")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["demo", "resnet20"])
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    args = parser.parse_args()
    torch.set_num_threads(1)
    seconds = gpu_seconds if args.device.type == "cuda" else cpu_seconds
    print(f"{hardware(args.device)}; {versions()}; load {os.getloadavg()[0]:.1f}")
    print(f"batches of {args.batch}, {args.precision}\n")
    row("network", "compiling, s", "eager, ms a step", "range", "gain", "range", "steps to break even", "GMAC/s, eager")
    row("---", *["---:"] * 7)
    for name in args.networks:
        with tempfile.TemporaryDirectory() as folder:
            os.environ |= {"TORCHINDUCTOR_CACHE_DIR": folder, "TRITON_CACHE_DIR": f"{folder}/triton"}
            eager, macs = stepper(NETWORKS[name], args, False)
            compiled, _ = stepper(NETWORKS[name], args, True)
            eager()
            begun = seconds()
            compiled()
            compiling = seconds() - begun
            times: dict[str, list[float]] = {"eager": [], "compiled": []}
            for _ in range(args.rounds):
                for way, step in (("eager", eager), ("compiled", compiled)):
                    begun = seconds()
                    for _ in range(args.steps):
                        step()
                    times[way].append((seconds() - begun) / args.steps)
        plain, gain = sorted(times["eager"])[args.rounds // 2], over(times["eager"], times["compiled"])
        compiling -= plain
        saved = plain * (1 - 1 / sorted(gain)[args.rounds // 2])
        even = f"{compiling / saved:,.0f}" if saved > 0 else "never"
        milliseconds = [1e3 * value for value in times["eager"]]
        cells = (f"{compiling:.1f}", *spread(milliseconds, 2), *spread(gain, 2), even, f"{macs / plain / 1e9:.1f}")
        row(name, *cells)
        torch._dynamo.reset()


if __name__ == "__main__":
    main()
