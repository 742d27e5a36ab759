"""One run as a plain script makes it: torchvision transforms of PIL images, a DataLoader, a loop, a CSV.

    python train.py FOLDER --data FILE --model small --augment basic --optimizer sgd --lr 1e-2 --scheduler cosine

Under `accelerate launch` the loop runs through Accelerate, as its documentation shows it. The networks, the images and
the transforms are those of Espalier's runs, read from its prepared file, which spares this script their preparation.
"""

import argparse
import csv
import json
import os
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, default_collate
from torchvision.transforms import transforms, v2

CHANNELS = {"small": [8, 16, 32], "wide": [12, 24, 48]}
AXES = {
    "model": list(CHANNELS),
    "augment": ["basic", "mixed"],
    "optimizer": ["sgd", "adam"],
    "lr": [1e-4, 1e-2],
    "scheduler": ["plateau", "cosine"],
}


_spent = [0.0]
"""CPU-seconds of this process at the end of each run so far; Hydra's launcher makes several in one."""


def run(folder: Path, data_file: Path, epochs: int, **setting) -> None:
    """Train one network and leave history.csv, the best weights, and where the CPU-seconds went."""
    here = Path(__file__).resolve()
    sys.path[:0] = [str(here.parents[1]), str(here.parents[2] / "workflow/scripts")]

    from data_loaders import Pictures, Samples
    from pydantic import TypeAdapter

    from espalier.data.prepared import Prepared
    from espalier.settings.registry import choice

    torch.manual_seed(0)
    data = Prepared.read(data_file, ("train", "validation", "test"))
    size = data.splits["train"].images.shape[2]
    drawn = [
        transforms.RandomCrop(size, 1),
        transforms.RandomHorizontalFlip(),
        transforms.RandomRotation(15),
        transforms.ColorJitter(0.2, 0.2, 0.2, 0.1),
    ]
    plain = [transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
    mix = v2.RandomChoice([v2.MixUp(num_classes=len(data.classes)), v2.CutMix(num_classes=len(data.classes))])
    collate = (lambda batch: mix(*default_collate(batch))) if setting["augment"] == "mixed" else None

    def loader(split: str, transform: list, **options) -> DataLoader:
        part = data.splits[split]
        pictures = Pictures(part.images.permute(0, 2, 3, 1).contiguous())
        return DataLoader(Samples(pictures, part.labels, transforms.Compose(transform)), 64, **options)

    train = loader("train", drawn + plain, shuffle=True, collate_fn=collate)
    validation, test = loader("validation", plain), loader("test", plain)
    network = {"name": "resnet", "channels": CHANNELS[setting["model"]]}
    model = TypeAdapter(choice("model")).validate_python(network).build(len(data.classes), size)
    if setting["optimizer"] == "sgd":
        kind = {"momentum": 0.9, "nesterov": True}
        optimizer = torch.optim.SGD(model.parameters(), setting["lr"], weight_decay=1e-3, **kind)
    else:
        optimizer = torch.optim.Adam(model.parameters(), setting["lr"], weight_decay=1e-3)
    accelerator = None
    if "ACCELERATE_MIXED_PRECISION" in os.environ:
        from accelerate import Accelerator

        accelerator = Accelerator(cpu=not torch.cuda.is_available())
        model, optimizer, train, validation, test = accelerator.prepare(model, optimizer, train, validation, test)
    if setting["scheduler"] == "cosine":
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    else:
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=5)
    ready, loading, best, rows = time.process_time(), 0.0, 0.0, []
    folder.mkdir(parents=True, exist_ok=True)
    for epoch in range(1, epochs + 1):
        model.train()
        total, batches = 0.0, iter(train)
        while True:
            begun = time.process_time()
            batch = next(batches, None)
            loading += time.process_time() - begun
            if batch is None:
                break
            loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
            optimizer.zero_grad()
            accelerator.backward(loss) if accelerator else loss.backward()
            optimizer.step()
            total += loss.item()
        scored = score(model, validation)
        scheduler.step(*([] if setting["scheduler"] == "cosine" else [scored["loss"]]))
        rows.append({"epoch": epoch, "train_loss": total / len(train), **scored})
        if scored["top1"] >= best:
            best = scored["top1"]
            torch.save(model.state_dict(), folder / "best.pt")
    model.load_state_dict(torch.load(folder / "best.pt"))
    tested = score(model, test)
    with (folder / "history.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    ended = time.process_time()
    times = {"start-up": ready - _spent[-1], "data": loading, "training": ended - ready - loading}
    _spent.append(ended)
    (folder / "result.json").write_text(json.dumps({"test": tested, "times": times} | setting))


@torch.no_grad()
def score(model: nn.Module, batches: DataLoader) -> dict[str, float]:
    model.eval()
    loss = right = seen = 0.0
    for images, labels in batches:
        logits = model(images)
        loss += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
        right += (logits.argmax(1) == labels).sum().item()
        seen += len(labels)
    return {"loss": loss / seen, "top1": 100 * right / seen}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=12)
    for axis, values in AXES.items():
        parser.add_argument(f"--{axis}", type=type(values[0]), choices=values, required=True)
    args = vars(parser.parse_args())
    run(args.pop("folder"), args.pop("data"), args.pop("epochs"), **args)


if __name__ == "__main__":
    main()
