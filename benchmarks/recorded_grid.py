"""A grid of which every training was recorded: what each setting scored after each epoch, for each seed.

The table is a CSV compressed with xz, a row a training, with the images of the validation split that were classified
right after each epoch and the loss there, in nats, to three digits. No torch, so that a rival reads it too.
"""

import csv
import itertools
import json
import lzma
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

AXES = {
    "train.batch_size": (32, 64, 256, 512),
    "train.scheduler.gamma": (0.1, 0.2, 0.3, 0.5),
    "train.optimizer.weight_decay": (1e-5, 1e-4, 5e-4, 1e-3),
    "train.scheduler.milestones": ((6, 12), (9, 15), (12, 18), (15, 21)),
}
"""The axes of config/studies/resnet-5m.yaml around its final network, in their order there; milestones at the same
shares of the training."""
EPOCHS = 24
SEEDS = 10
IMAGES = 899
"""in the validation split"""
TABLE = Path(__file__).parent / "results/2026-11-30-search.csv.xz"
_HEAD = ("seed", *AXES, "right", "loss")


@dataclass(frozen=True)
class Recorded:
    """A training."""

    right: tuple[int, ...]
    """validation images that were classified right, an epoch"""
    loss: tuple[float, ...]

    def score(self, epoch: int) -> float:
        """The best validation top-1 so far, in percent."""
        return 100 * max(self.right[:epoch]) / IMAGES


def settings() -> list[tuple]:
    """The value of each axis in every setting, in the order of the study."""
    return list(itertools.product(*AXES.values()))


def read(path: Path = TABLE) -> dict[int, list[Recorded]]:
    """Seed → the trainings of all settings, in the order of the study."""
    found: dict[tuple, Recorded] = {}
    with lzma.open(path, "rt", newline="") as file:
        for row in csv.DictReader(file):
            right, loss = (row[key].split() for key in ("right", "loss"))
            key = (row["seed"], *(row[axis] for axis in AXES))
            found[key] = Recorded(tuple(map(int, right)), tuple(map(float, loss)))
    seeds = sorted({int(key[0]) for key in found})
    return {seed: [found[(str(seed), *map(json.dumps, values))] for values in settings()] for seed in seeds}


def write(path: Path, rows: Iterable[Mapping]) -> None:
    """Write the table, of rows with the axes' values, the seed, `right` and `loss`."""
    with lzma.open(path, "wt", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEAD)
        for row in rows:
            values = [json.dumps(row[axis]) for axis in AXES]
            loss = " ".join(f"{value:.3f}" for value in row["loss"])
            writer.writerow([row["seed"], *values, " ".join(map(str, row["right"])), loss])
