"""What report 004's published network scores on CIFAR-10 at settings of its bit grid, scheme by scheme.

    ESPALIER_DATA=ROOT python benchmarks/report004_grid.py WEIGHTS.safetensors [--split train-tail] [--images 10000]
        [--weight-bits 8 4] [--activation-bits 8 6 4] [--schemes naive calibrated nearest] [--calibration 512]

WEIGHTS holds `<layer>.weight.int8` levels with `<layer>.weight.scale`, and the rest in fp32. Schemes are calibrated
on the first training images, without labels. Variants are compared with --split train-tail, which scores the last
2,000 training images: none is calibrated on, though the network was trained on them. Without it the test images are
scored, once what is to be scored is chosen. One thread; batches of 128, on which the naive scheme's values depend.
"""

import argparse
import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch
from demo import ROOT
from torch import Tensor, nn
from turns import hardware, row, versions

sys.path.insert(0, str(ROOT))

from safetensors.torch import load_file

from espalier.metrics.accuracy import score
from espalier.models.mobilenetv2 import mobilenetv2
from espalier.quantization.rows_of_widths import rows
from espalier.quantization.schemes import calibrated, naive

SCHEMES = {
    "naive": naive(),
    "calibrated": calibrated(),
    "nearest": calibrated(rounding="nearest"),
    "estimated": calibrated(statistics="estimated"),
    "kept": calibrated(statistics="kept"),
    "first at 8": calibrated(first_bits=8),
    "minmax": calibrated(activation_range="minmax"),
    "percentile": calibrated(activation_range="percentile"),
    "entropy": calibrated(activation_range="entropy"),
}
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)
"""Those of the report."""
BATCH = 128
TAIL = 2_000
"""Training images at the end on which variants are compared."""


def network(path: Path) -> nn.Module:
    raw = load_file(path)
    weights = {name: tensor for name, tensor in raw.items() if not name.endswith((".int8", ".scale"))}
    for name in raw:
        if name.endswith(".int8"):
            weight = name.removesuffix(".int8")
            weights[weight] = raw[name].float() * raw[f"{weight}.scale"]
    model = mobilenetv2(10, 32)
    model.load_state_dict(weights)
    return model.eval().to(memory_format=torch.channels_last)


def images(split: str, count: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Batches of inputs and of labels of the first `count` images of "train", "train-tail" or "test"."""
    from torchvision.datasets import CIFAR10

    read = CIFAR10(os.environ["ESPALIER_DATA"], split != "test")
    start = len(read.data) - TAIL if split == "train-tail" else 0
    chosen = slice(start, start + count)
    pixels = torch.from_numpy(read.data[chosen]).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
    inputs = ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)
    return inputs.split(BATCH), torch.tensor(read.targets[chosen]).split(BATCH)


def arguments(doc: str, calibration: int) -> argparse.ArgumentParser:
    """What every program on this network takes.

    Args:
        calibration: training images that are looked at unless told
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--split", choices=["test", "train-tail"], default="test", help="images that are scored")
    parser.add_argument("--images", type=int, help="of the split, from its beginning; all unless told")
    parser.add_argument("--calibration", type=int, default=calibration, help="training images")
    return parser


def asked(split: str, count: int | None) -> list[tuple[Tensor, Tensor]]:
    """Batches of inputs and labels of a split, from its beginning; all of them unless a count is given."""
    return list(zip(*images(split, count or (TAIL if split == "train-tail" else 10_000)), strict=True))


def main() -> None:
    parser = arguments(__doc__, 512)
    parser.add_argument("--weight-bits", type=int, nargs="+", default=[8, 4])
    parser.add_argument("--activation-bits", type=int, nargs="+", default=[8, 6, 4])
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, default=["naive", "calibrated"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = network(args.weights)
    calibration, _ = images("train", args.calibration)
    scored = asked(args.split, args.images)
    count = sum(len(labels) for _, labels in scored)
    command = shlex.join(["python", "benchmarks/report004_grid.py", args.weights.name, *sys.argv[2:]])
    print(f"`{command}`, {datetime.now(UTC):%Y-%m-%d}; {hardware(torch.device('cpu'))}; {versions()}\n")
    row("scheme", "weight bits", "activation bits", f"top-1 of {count} {args.split} images", "loss")
    row("---", *["---:"] * 4)
    found = score(model, scored)
    row("", 32, 32, f"{found['top1']:.2f}", f"{found['loss']:.4f}")
    for name in args.schemes:
        settings = args.weight_bits, args.activation_bits, SCHEMES[name], calibration
        for cell in rows(model, *settings, lambda model: score(model, scored)):
            row(name, cell["weight_bits"], cell["activation_bits"], f"{cell['top1']:.2f}", f"{cell['loss']:.4f}")


if __name__ == "__main__":
    main()
