"""How fast training data come, beside the usual ways, and how much of a training step's speed they leave.

    python benchmarks/data_path.py [--device cuda] [--rounds 5] [--data PREPARED.safetensors] [--part rates efficiency]
        [--policies "crop, flip" …] [--networks ResNet-20 …] [--precision bf16]

Rates: images a CPU-second (of this process and its workers) of each way to make batches of 128, one thread; on a GPU
images a second until they lie there. On a CPU Espalier with its compiled loop stands beside Espalier with torch's
operations alone. Efficiency: images a CPU-second (on a GPU: a second) of training steps with the real pipeline, over
those of the same steps with one constant batch. The clock covers all of an epoch that makes or trains on batches, the
drawing of its parameters too; it leaves out reading the file, placing it on the device, compilation and validation.

Arms alternate within each round (training steps on a CPU one by one), and the first round does not count; a ratio is
taken within a round. Each table holds a control, where an arm is set against itself. The images are CIFAR-10 where
ESPALIER_DATA has it, else the digits at 32x32, repeated to 50,000. The tables are printed as Markdown.
"""

import argparse
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import repeat
from pathlib import Path

import torch
from data_loaders import kornia_batches, pil_batches, v2_batches
from demo import ROOT
from turns import Arms, hardware, over, rates, row, spread, versions

sys.path.insert(0, str(ROOT))

from pydantic import TypeAdapter

from espalier.data.policy import Policy
from espalier.data.prepared import Prepared, write
from espalier.data.resident import Batch, Resident
from espalier.settings.registry import choice, entries
from espalier.settings.sections import Training
from espalier.training.objective import Objective

Policies = list[tuple[str, tuple]]

BATCH = 128
CROP_FLIP = ({"name": "pad_crop", "padding": 4}, {"name": "horizontal_flip"})
JITTER = {"name": "color_jitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
POLICIES = {
    "crop, flip": CROP_FLIP,
    "crop, flip, rotation, jitter": (*CROP_FLIP, {"name": "rotation", "degrees": 15.0}, JITTER),
    "crop, flip, AutoAugment, cutout": (
        *CROP_FLIP,
        {"name": "autoaugment", "policy": "cifar10"},
        {"name": "cutout", "size": 8},
    ),
    "crop, flip, mixup": (*CROP_FLIP, {"name": "mixup", "alpha": 1.0}),
    "crop, flip, cutmix": (*CROP_FLIP, {"name": "cutmix", "alpha": 1.0}),
}
NETWORKS = {
    "ResNet-8 (16-32-64)": {"name": "resnet", "blocks": [1, 1, 1], "channels": [16, 32, 64]},
    "ResNet-20": {"name": "resnet", "blocks": [3, 3, 3], "channels": [16, 32, 64]},
    "ResNet-18": {"name": "resnet_imagenet", "stem": "cifar"},
}


def moved(batches: Callable[[], Iterable], where: torch.device) -> Iterator[int]:
    for inputs, *_ in batches():
        inputs.to(where, non_blocking=True)
        yield len(inputs)


def made(data: Resident, policy: Policy) -> Iterator[int]:
    for batch in data.train_batches(policy, epoch=0, seed=0, batch_size=BATCH):
        yield len(batch.labels)


def trained(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    cast: torch.autocast,
    batches: Callable[[], Iterable[Batch]],
) -> Iterator[int]:
    """Forward, backward and a step for each batch."""
    objective = Objective(Training())
    for batch in batches():
        with cast:
            outputs = model(batch.inputs)
        objective(outputs.float(), batch).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        yield batch.global_size


def prepare(path: Path, images: int | None = None) -> None:
    """CIFAR-10 where it is, else the digits, with 50,000 images to train on.

    Args:
        images: to train on, where these are too many; the other splits are cut by as much
    """
    source = os.environ.get("ESPALIER_DATA")
    name = "cifar10" if source and "cifar10" in entries("dataset") else "digits"
    chosen = TypeAdapter(choice("dataset")).validate_python({"name": name, "image_size": 32})
    data = chosen.build(Path(source) if source else None)
    if name == "digits":
        count, train = len(data.labels), data.splits["train"]
        order = torch.cat((torch.arange(count), train[torch.arange(50_000) % len(train)]))
        splits = {**data.splits, "train": torch.arange(count, len(order))}
        data = replace(data, images=data.images[order], labels=data.labels[order], splits=splits)
    if images:
        share = images / len(data.splits["train"])
        splits = {name: split[: max(1, round(share * len(split)))] for name, split in data.splits.items()}
        data = replace(data, splits=splits)
    write(path, data, chosen.model_dump(mode="json"))


def first(data: Prepared, images: int) -> Prepared:
    """The same with the first of the training images only."""
    train = data.splits["train"]
    cut = type(train)(train.images[:images], train.labels[:images], train.indices[:images])
    return replace(data, splits={"train": cut})


def rate_table(data: Prepared, where: torch.device, rounds: int, images: int, policies: Policies) -> None:
    few, whole, plain = first(data, images), Resident(data, where), Resident(data, where, compiled=False)
    row("policy", "way", f"images a {'s' if where.type == 'cuda' else 'CPU-s'}", "range", "× PIL", "range")
    row(*["---"] * 6)
    for name, augment in policies:
        usual = {
            "PIL + torchvision, 0 workers": pil_batches(few, augment, BATCH, 0),
            "PIL + torchvision, 2 workers": pil_batches(few, augment, BATCH, 2),
            "torchvision v2, one by one": v2_batches(few, augment, BATCH),
        }
        if importlib.util.find_spec("kornia"):
            usual["kornia, batched"] = kornia_batches(few, augment, BATCH, where)
        arms: Arms = {way: partial(moved, batches, where) for way, batches in usual.items()}
        ours = partial(made, whole, Policy(augment))
        arms |= {"Espalier": ours, "Espalier again": ours}
        if where.type == "cpu":
            arms["Espalier, torch operations"] = partial(made, plain, Policy(augment))
        found = rates(arms, rounds, where)
        pil = next(iter(found.values()))
        for way, values in found.items():
            row(name, way, *spread(values, 0), *spread(over(values, pil), 2))
        control = over(found["Espalier again"], found["Espalier"])
        row(name, "control: Espalier again ÷ Espalier", "", "", *spread(control, 3))


def efficiency_table(
    data: Prepared, where: torch.device, args: argparse.Namespace, images: int, policies: Policies
) -> None:
    few = Resident(first(data, images), where)
    # A GPU has to be waited for before a clock is read, and so works through a whole epoch between two.
    together = None if where.type == "cuda" else 1
    cast = torch.autocast(where.type, torch.bfloat16, enabled=args.precision == "bf16")
    row("network", "policy", "real ÷ constant", "range", "control: constant ÷ constant", "range")
    row(*["---"] * 6)
    for network in args.networks:
        made = TypeAdapter(choice("model")).validate_python(NETWORKS[network])
        model = made.build(few.num_classes, few.image_size, few.channels)
        model = model.to(where, memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        step = partial(trained, model, optimizer, cast)
        for name, augment in policies:
            real = partial(few.train_batches, Policy(augment), epoch=0, seed=0, batch_size=BATCH)
            constant = partial(repeat, next(real()), few.steps_per_epoch(BATCH))
            arms: Arms = {"constant": partial(step, constant), "real": partial(step, real)}
            found = rates(arms | {"again": arms["constant"]}, args.rounds, where, together)
            control = over(found["again"], found["constant"])
            row(network, name, *spread(over(found["real"], found["constant"]), 3), *spread(control, 3))


def known(names: Iterable[str]) -> Iterator[tuple[str, tuple]]:
    """The policies of these names whose augmentations there are, read by the registry."""
    read = TypeAdapter(tuple[choice("augmentation"), ...]).validate_python
    for name in names:
        augment = POLICIES[name]
        if missing := {each["name"] for each in augment} - set(entries("augmentation")):
            print(f"Skipped: {name}; there is no {', '.join(sorted(missing))}.")
        else:
            yield name, read(augment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, help="prepared data set of 32x32 images or larger")
    parser.add_argument("--images", type=int, default=2048, help="a round, of the slow ways and of training on a CPU")
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS)[:2], help="of the efficiency")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of the steps of the efficiency")
    parser.add_argument("--part", nargs="+", choices=["rates", "efficiency"], default=["rates", "efficiency"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = args.data or Path(folder) / "images.safetensors"
        if args.data is None:
            prepare(path)
        data = Prepared.read(path, ("train",))
        print(f"# The data path, {datetime.now(UTC):%Y-%m-%d}\n")
        print(f"{hardware(args.device)}; {versions()}.")
        print(f"`python benchmarks/data_path.py {' '.join(sys.argv[1:])}`, {data.settings['name']}.")
        if not importlib.util.find_spec("kornia"):
            print("Skipped: kornia, which is not installed.")
        policies = list(known(args.policies))
        if "rates" in args.part:
            print("\n## Rates\n")
            rate_table(data, args.device, args.rounds, args.images, policies)
        if "efficiency" in args.part:
            print("\n## Efficiency\n")
            images = args.images if args.device.type == "cpu" else len(data.splits["train"].labels)
            efficiency_table(data, args.device, args, images, policies)


if __name__ == "__main__":
    main()
