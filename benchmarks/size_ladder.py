"""What a network's levels take by each method, and what every byte of its coded file is for.

    python benchmarks/size_ladder.py LEVELS.safetensors|FOLDER|FILE.esp [--model mobilenetv2] [--bits 4]
        [--fold] [--floats fp16] [--rounds 3]

LEVELS.safetensors holds `<name>.int8` and `<name>.scale` for each quantized tensor of `--model` with 10 classes and
images of 32x32, and the rest as it is; FOLDER is a run's; an `.esp` file is decoded. Weights that have no levels are
quantized per tensor to `--bits` (8). Times are CPU seconds of one thread from the network to its file and back, the
least of the rounds. The tables are printed as Markdown.
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
from pydantic import TypeAdapter
from turns import hardware, versions

sys.path.insert(0, str(ROOT))

from torch import Tensor

from espalier.coding import levels_file
from espalier.coding.anatomy import anatomy, by_purpose
from espalier.coding.decoder import open_parts
from espalier.coding.encoder import encode
from espalier.coding.ladder import ladder
from espalier.metrics.cost import weighted
from espalier.networks import artifact, coded_network
from espalier.networks.artifact import Network
from espalier.quantization.qparams import Quantized
from espalier.quantization.quantized import Quantization, install
from espalier.quantization.weights import nearest
from espalier.settings.registry import choice


def network_of(path: Path, name: str, bits: int | None) -> Network:
    """The network of a file of levels, a coded file or a run's folder; with `bits`, the levels are made anew."""
    if path.suffix == ".esp":
        found = coded_network.load(path)
    elif path.is_dir():
        found = artifact.load(path)
    else:
        found = published(path, name)
    if found.quantization and bits is None:
        return found
    weights = {path: nearest(one.weight, bits or 8, "tensor") for path, one in weighted(found.model).items()}
    return quantized(found, weights)


def published(path: Path, name: str) -> Network:
    """The network of a file of levels."""
    made, tensors = TypeAdapter(choice("model")).validate_python(name), levels_file.read(path)
    model = made.build(10, 32)
    model.load_state_dict({key: values(one) for key, one in tensors.items()})
    levels = {key.removesuffix(".weight"): one for key, one in tensors.items() if isinstance(one, Quantized)}
    return quantized(Network(model.eval(), made, 10, 32), levels)


def quantized(network: Network, weights: dict[str, Quantized]) -> Network:
    """A network put on levels."""
    quantization = Quantization(weights, {}, {})
    install(network.model, quantization)
    sizes = network.num_classes, network.image_size
    return Network(network.model, network.choice, *sizes, network.shapes, quantization, network.feed)


def values(tensor: Quantized | Tensor) -> Tensor:
    return tensor.dequantize() if isinstance(tensor, Quantized) else tensor


@torch.no_grad()
def difference(network: Network, path: Path) -> float:
    """Largest difference of the decoded network's logits, of the largest logit's size."""
    shape = 64, network.channels, network.image_size, network.image_size
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    logits = network.model(images)
    return float((coded_network.load(path).model(images) - logits).abs().max() / logits.abs().max())


def timed(network: Network, options: tuple[bool, str], path: Path, rounds: int) -> tuple[float, float]:
    """Least CPU seconds of encoding and of decoding."""
    encoding, decoding = [], []
    for _ in range(rounds):
        start = time.process_time()
        encode(*coded_network.tensors_of(network, *options), path)
        middle = time.process_time()
        coded_network.load(path)
        encoding.append(middle - start)
        decoding.append(time.process_time() - middle)
    return min(encoding), min(decoding)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--model", default="mobilenetv2", help="network of a file of levels")
    parser.add_argument("--bits", type=int)
    parser.add_argument("--fold", action="store_true", help="fold batch normalization")
    parser.add_argument("--floats", choices=("fp32", "fp16"), default="fp32", help="type of what is not quantized")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    network, options = network_of(args.path, args.model, args.bits), (args.fold, args.floats)
    rungs = ladder(coded_network.tensors_of(network, *options)[0])
    bound = rungs[-1].levels
    command = shlex.join(["python", "benchmarks/size_ladder.py", args.path.name, *sys.argv[2:]])
    machine = hardware(torch.device("cpu"))
    coder = ", ".join(f"{name} {version(name)}" for name in ("constriction", "numba"))
    print(f"`{command}`, {datetime.now(UTC):%Y-%m-%d}; {machine}; {versions()}, {coder}\n")
    print("| method | bytes of levels | over order-0 entropy | bytes of other parameters |\n|---|--:|--:|--:|")
    for rung in rungs:
        others = "" if rung.others is None else f"{rung.others:,}"
        print(f"| {rung.method} | {rung.levels:,.0f} | {100 * (rung.levels / bound - 1):+.1f} % | {others} |")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.esp"
        encoding, decoding = timed(network, options, path, args.rounds)
        size = path.stat().st_size
        print("\n| purpose | bytes |\n|---|--:|")
        for purpose, count in by_purpose(anatomy(open_parts(path))).items():
            print(f"| {purpose} | {count:,} |")
        print(f"| whole file | {size:,} ({size / 2**20:.3f} MiB) |")
        print(
            f"\nLargest difference of a logit of the decoded network: {difference(network, path):.1e} of the largest."
        )
    print(f"Encoding {encoding:.2f} s, decoding {decoding:.2f} s of CPU, the least of {args.rounds}.")


if __name__ == "__main__":
    main()
