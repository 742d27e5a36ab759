"""Bytes against top-1 of report 004's published network: rate-distortion rounding beside plain widths, as whole files.

    ESPALIER_DATA=ROOT python benchmarks/report004_size.py WEIGHTS.safetensors [--split train-tail] [--images 10000]
        [--prices 2e-5 4e-5] [--plain 8 6 5 4] [--significant-bits 11 6] [--calibration 1024]
        [--keep FILE.esp]

WEIGHTS holds `<layer>.weight.int8` levels with `<layer>.weight.scale`, and the rest in fp32. Each line is one file, as
encode writes it with fold, fp16 and shrink, decoded again and scored; activations stay floats, as in the report's
94.47 %. Nothing is trained: the first training images are looked at without labels. Settings are chosen with --split
train-tail, the last 2,000 training images, on which the network was trained; the test images are scored at settings
that are chosen. --keep leaves the file of the last line. One thread.
"""

import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from demo import ROOT
from report004_grid import arguments, asked, images, network
from turns import hardware, row, versions

sys.path.insert(0, str(ROOT))

from pydantic import TypeAdapter

from espalier.coding.encoder import encode
from espalier.metrics.accuracy import score
from espalier.networks import coded_network
from espalier.networks.network import Network
from espalier.quantization.qparams import FULL
from espalier.quantization.quantizer import Quantizer
from espalier.quantization.schemes import calibrated, rate_distortion
from espalier.settings.registry import choice


def main() -> None:
    parser = arguments(__doc__, 1024)
    parser.add_argument("--prices", type=float, nargs="*", default=[], help="of a bit, in squared logits")
    parser.add_argument("--plain", type=int, nargs="*", default=[], help="widths of compensated rounding")
    parser.add_argument("--significant-bits", type=int, nargs="+", default=[11], help="of what is no level")
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = network(args.weights)
    named = TypeAdapter(choice("model")).validate_python("mobilenetv2")
    calibration, _ = images("train", args.calibration)
    scored = asked(args.split, args.images)
    command = shlex.join(["python", "benchmarks/report004_size.py", args.weights.name, *sys.argv[2:]])
    print(f"`{command}`, {datetime.now(UTC):%Y-%m-%d}; {hardware(torch.device('cpu'))}; {versions()}\n")
    row("rounding", "price", "significant bits", "bytes", "MiB", f"top-1 of {args.split}", "loss", "seconds")
    row("---", *["---:"] * 7)

    def told(name: str, quantizer: Quantizer, bits: int, price: float | None = None) -> None:
        begun = time.perf_counter()
        quantizer.set(bits, FULL, price)
        network = Network(model, named, 10, 32, None, quantizer.quantization())
        seconds = time.perf_counter() - begun
        for significant in args.significant_bits:
            how = coded_network.SMALLEST | {"significant_bits": significant}
            with TemporaryDirectory() as folder:
                path = args.keep or Path(folder) / "model.esp"
                encode(*coded_network.tensors_of(network, **how), path)
                size, decoded = path.stat().st_size, coded_network.load(path).model
            found = score(decoded.to(memory_format=torch.channels_last), scored)
            shown = f"{price:.3g}" if price else ""
            numbers = f"{size / 2**20:.4f}", f"{found['top1']:.2f}", f"{found['loss']:.4f}", f"{seconds:.0f}"
            row(name, shown, significant, size, *numbers)

    if args.prices:
        quantizer = Quantizer(model, rate_distortion(price=args.prices[0]), calibration)
        for price in args.prices:
            told("rate-distortion", quantizer, 8, price)
        quantizer.close()
    if args.plain:
        quantizer = Quantizer(model, calibrated(), calibration)
        for bits in args.plain:
            told(f"compensated, {bits} bits", quantizer, bits)


if __name__ == "__main__":
    main()
