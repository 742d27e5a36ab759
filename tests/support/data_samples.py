"""Small data sets and policies that the tests of the data room share."""

from pathlib import Path

import torch
from pydantic import TypeAdapter

from espalier.data.policy import Policy
from espalier.data.prepared import Dataset, write
from espalier.data.resident import Resident
from espalier.settings.registry import choice


def made(train: int = 23, validation: int = 5, test: int = 7, size: int = 6, seed: int = 0) -> Dataset:
    """Random images in three shuffled splits, every image different."""
    draw = torch.Generator().manual_seed(seed)
    count = train + validation + test
    return Dataset(
        images=torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=draw),
        labels=torch.randint(0, 4, (count,), generator=draw),
        splits=dict(
            zip(
                ("train", "validation", "test"),
                torch.randperm(count, generator=draw).split([train, validation, test]),
                strict=True,
            )
        ),
        classes=("ash", "beech", "cedar", "date"),
    )


def resident(folder: Path, **kwargs: int) -> Resident:
    write(folder / "made.safetensors", made(**kwargs), {"name": "made"})
    return Resident.load(folder / "made.safetensors")


def policy(*augment: object) -> Policy:
    return Policy(TypeAdapter(tuple[choice("augmentation"), ...]).validate_python(augment))
