"""What report 004's published network scores on CIFAR-10 at settings of its bit grid, scheme by scheme.

    ESPALIER_DATA=ROOT python benchmarks/report004_grid.py WEIGHTS.safetensors [--images 10000]
        [--weight-bits 8 4] [--activation-bits 8 6 4] [--schemes naive calibrated nearest]

WEIGHTS holds `<layer>.weight.int8` levels with `<layer>.weight.scale`, and the rest in fp32. Schemes are calibrated
on the first training images, without labels; the first test images are scored, one thread, in batches of 128. The
naive scheme's values depend on the batches.
"""

import argparse
import os
import sys
from pathlib import Path

import torch
from demo import ROOT
from torch import Tensor, nn
from turns import hardware, row, versions

sys.path.insert(0, str(ROOT / "workflow/scripts"))

from safetensors.torch import load_file

from espalier.measure.accuracy import score
from espalier.models.mobilenetv2 import mobilenetv2
from espalier.process import keep_memory
from espalier.quantization.grid import grid
from espalier.quantization.schemes import calibrated, naive

SCHEMES = {
    "naive": naive(),
    "calibrated": calibrated(),
    "nearest": calibrated(rounding="nearest"),
    "estimated": calibrated(statistics="estimated"),
    "kept": calibrated(statistics="kept"),
}
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)
"""Those of the report."""
BATCH = 128


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


def images(train: bool, count: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    from torchvision.datasets import CIFAR10

    read = CIFAR10(os.environ["ESPALIER_DATA"], train)
    pixels = torch.from_numpy(read.data[:count]).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
    inputs = ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)
    return inputs.split(BATCH), torch.tensor(read.targets[:count]).split(BATCH)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--images", type=int, default=10_000, help="test images")
    parser.add_argument("--calibration", type=int, default=512, help="training images")
    parser.add_argument("--weight-bits", type=int, nargs="+", default=[8, 4])
    parser.add_argument("--activation-bits", type=int, nargs="+", default=[8, 6, 4])
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, default=["naive", "calibrated"])
    args = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    model = network(args.weights)
    calibration, _ = images(True, args.calibration)
    test = list(zip(*images(False, args.images), strict=True))
    print(f"{hardware(torch.device('cpu'))}; {versions()}; {args.images} test images\n")
    row("scheme", "weight bits", "activation bits", "top-1", "loss")
    row("---", *["---:"] * 4)
    found = score(model, test)
    row("", 32, 32, f"{found['top1']:.2f}", f"{found['loss']:.4f}")
    for name in args.schemes:
        cells = grid(
            model, args.weight_bits, args.activation_bits, SCHEMES[name], calibration, lambda model: score(model, test)
        )
        for cell in cells:
            row(name, cell["weight_bits"], cell["activation_bits"], f"{cell['top1']:.2f}", f"{cell['loss']:.4f}")


if __name__ == "__main__":
    main()
