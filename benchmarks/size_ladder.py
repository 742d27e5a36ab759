"""What a network's levels take by each method, and what every byte of its coded file is for.

    python benchmarks/size_ladder.py LEVELS.safetensors|FOLDER|FILE.esp [--bits 4] [--rounds 3]

LEVELS.safetensors holds `<name>.int8` and `<name>.scale` for each quantized tensor, and the rest as it is; FOLDER is
a run's, whose weights of two dimensions and more are quantized per tensor to `--bits` (8); an `.esp` file is decoded.
Times are CPU seconds of one thread, the least of the rounds. The tables are printed as Markdown.
"""

import argparse
import shlex
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from demo import ROOT
from turns import hardware, versions

sys.path.insert(0, str(ROOT / "workflow/scripts"))

from torch import Tensor

from espalier.coding import levels_file
from espalier.coding.anatomy import anatomy, by_purpose
from espalier.coding.decoder import decode
from espalier.coding.encoder import encode
from espalier.coding.ladder import ladder
from espalier.coding.range_coder import available
from espalier.quantization.qparams import Quantized
from espalier.quantization.weights import nearest

Tensors = dict[str, Quantized | Tensor]


def tensors_of(path: Path, bits: int | None) -> Tensors:
    """The tensors of a file of levels, a coded file or a run's folder; with `bits`, the levels are made anew."""
    if path.suffix == ".esp":
        found = decode(path).tensors
    elif path.is_dir():
        from safetensors.torch import load_file

        found = {
            name: nearest(one, bits or 8, "tensor") if one.ndim > 1 and one.is_floating_point() else one
            for name, one in load_file(path / "model.safetensors").items()
        }
    else:
        found = levels_file.read(path)
    if bits is None:
        return found
    return {
        name: nearest(one.dequantize(), bits, "tensor") if isinstance(one, Quantized) else one
        for name, one in found.items()
    }


def timed(tensors: Tensors, path: Path, rounds: int) -> tuple[float, float]:
    """Least CPU seconds of encoding and of decoding."""
    encoding, decoding = [], []
    for _ in range(rounds):
        start = time.process_time()
        encode(tensors, {}, path)
        middle = time.process_time()
        decode(path)
        encoding.append(middle - start)
        decoding.append(time.process_time() - middle)
    return min(encoding), min(decoding)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--bits", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tensors = tensors_of(args.path, args.bits)
    rungs = ladder(tensors)
    bound = rungs[-1].levels
    command = shlex.join(["python", "benchmarks/size_ladder.py", args.path.name, *sys.argv[2:]])
    machine = hardware(torch.device("cpu"))
    coder = f"constriction {version('constriction')}" if available() else "without constriction"
    print(f"`{command}`, {datetime.now(UTC):%Y-%m-%d}; {machine}; {versions()}, {coder}\n")
    print("| method | bytes of levels | over order-0 entropy | bytes of other parameters |\n|---|--:|--:|--:|")
    for rung in rungs:
        others = "" if rung.others is None else f"{rung.others:,}"
        print(f"| {rung.method} | {rung.levels:,.0f} | {100 * (rung.levels / bound - 1):+.1f} % | {others} |")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.esp"
        encoding, decoding = timed(tensors, path, args.rounds)
        size = path.stat().st_size
        print("\n| purpose | bytes |\n|---|--:|")
        for purpose, count in by_purpose(anatomy(path)).items():
            print(f"| {purpose} | {count:,} |")
        print(f"| whole file | {size:,} ({size / 2**20:.3f} MiB) |")
    print(f"\nEncoding {encoding:.2f} s, decoding {decoding:.2f} s of CPU, the least of {args.rounds}.")


if __name__ == "__main__":
    main()
