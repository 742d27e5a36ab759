"""Plain, compensated and trained rounding of weights to few bits, on the same networks.

    ESPALIER_DATA=ROOT python benchmarks/rounding.py WEIGHTS.safetensors [--bits 4 3 2] [--images 2000]
        [--tuning 4096] [--tuning-epochs 3] [--epochs 8] [--networks report004 resnet8]

WEIGHTS is report 004's network, as `report004_grid.py` reads it. The other is a ResNet-8 (16-32-64) that is trained
here on the first 10,000 training images of CIFAR-10, --epochs over. All are scored on the last --images training
images, which the ResNet has not seen and report 004's network was trained on; the test images are not touched.
Activations stay in fp32. Plain and compensated rounding see the first 512 training images, without labels, both with
shifted statistics of batch normalization; training with learned steps (LSQ) begins at the compensated levels
and sees the first --tuning images with their labels, cropped and flipped, --tuning-epochs over. One thread.
"""

import argparse
import copy
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from demo import ROOT
from report004_grid import MEAN, STD, network
from torch import nn
from turns import hardware, row, versions

sys.path.insert(0, str(ROOT))

from pydantic import TypeAdapter

from espalier.data.policy import Policy
from espalier.data.prepared import Prepared, write
from espalier.data.resident import Resident
from espalier.metrics.accuracy import score
from espalier.models.resnet import resnet
from espalier.quantization.qat import convert, prepare_qat
from espalier.quantization.quantizer import Quantizer
from espalier.quantization.schemes import calibrated
from espalier.settings.registry import choice
from espalier.settings.sections import Training
from espalier.training.objective import Objective

BATCH = 64
SEEN = 10_000
"""Training images of the ResNet."""
CALIBRATION = 512
SCHEMES = {"plain": calibrated(rounding="nearest"), "compensated": calibrated()}


def data_of(folder: str, train: int, held: int) -> Resident:
    """The first `train` training images to train on, and the last `held` to score on."""
    chosen = TypeAdapter(choice("dataset")).validate_python({"name": "cifar10"})
    source = chosen.build(Path(os.environ["ESPALIER_DATA"]))
    # The source has the training images first, in their own order; its own splits are drawn from these at random.
    splits = {
        "train": torch.arange(train),
        "validation": torch.arange(50_000 - held, 50_000),
        # A prepared file must have some; they are not read.
        "test": torch.arange(50_000, 50_001),
    }
    path = Path(folder) / f"{train}.safetensors"
    write(path, replace(source, splits=splits), chosen.model_dump(mode="json"))
    return Resident(replace(Prepared.read(path), mean=MEAN, std=STD))


def trained(model: nn.Module, data: Resident, epochs: int, lr: float, weight_decay: float) -> nn.Module:
    """SGD with momentum along a cosine, on images cropped and flipped; in place."""
    augment = TypeAdapter(tuple[choice("augmentation"), ...]).validate_python(
        ({"name": "pad_crop", "padding": 4}, {"name": "horizontal_flip"})
    )
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=weight_decay, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * data.steps_per_epoch(BATCH))
    for epoch in range(epochs):
        model.train()
        for batch in data.train_batches(Policy(augment), epoch=epoch, seed=0, batch_size=BATCH):
            Objective(Training())(model(batch.inputs), batch).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    return model.eval()


def compare(name: str, model: nn.Module, data: Resident, bits: list[int], tune: Callable) -> None:
    """Rows of one network."""
    held = list(data.batches("validation", BATCH))
    calibration = [inputs for inputs, _ in data.batches("train", BATCH)][: CALIBRATION // BATCH]

    def line(width: int, way: str, model: nn.Module, seconds: float) -> None:
        found = score(model, held)
        row(name, width, way, f"{found['top1']:.2f}", f"{found['loss']:.4f}", f"{seconds:.0f}")

    line(32, "", model, 0)
    for width in bits:
        for way, scheme in SCHEMES.items():
            start = time.process_time()
            quantizer = Quantizer(model, scheme, calibration)
            quantizer.set(width, 32)
            line(width, way, model, time.process_time() - start)
            quantizer.close()
        start = time.process_time()
        learned = tune(prepare_qat(copy.deepcopy(model), width, 32, SCHEMES["compensated"], calibration))
        convert(learned)
        line(width, "trained", learned, time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 3, 2])
    parser.add_argument("--images", type=int, default=2_000, help="last training images, that are scored")
    parser.add_argument("--tuning", type=int, default=4_096, help="first training images, for learned steps")
    parser.add_argument("--tuning-epochs", type=int, default=3)
    parser.add_argument("--tuning-lr", type=float, default=0.01)
    parser.add_argument("--epochs", type=int, default=8, help="of the ResNet")
    parser.add_argument("--networks", nargs="+", choices=["report004", "resnet8"], default=["report004", "resnet8"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    command = shlex.join(["python", "benchmarks/rounding.py", args.weights.name, *sys.argv[2:]])
    print(f"`{command}`, {datetime.now(UTC):%Y-%m-%d}; {hardware(torch.device('cpu'))}; {versions()}\n")
    row("network", "weight bits", "rounding", f"top-1 of {args.images} images", "loss", "CPU-s")
    row("---", "---:", "---", *["---:"] * 3)
    with tempfile.TemporaryDirectory() as folder:
        few = data_of(folder, args.tuning, args.images)

        def tune(model: nn.Module) -> nn.Module:
            return trained(model, few, args.tuning_epochs, args.tuning_lr, 0.0)

        if "report004" in args.networks:
            compare("report 004", network(args.weights), few, args.bits, tune)
        if "resnet8" in args.networks:
            model = resnet(10, 32, channels=(16, 32, 64)).to(memory_format=torch.channels_last)
            trained(model, data_of(folder, SEEN, args.images), args.epochs, 0.1, 5e-4)
            compare("ResNet-8", model, few, args.bits, tune)


if __name__ == "__main__":
    main()
