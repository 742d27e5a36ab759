"""The evaluate stage: the one place that reads the test split."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from espalier.data.prepared import Prepared
from espalier.data.resident import Resident
from espalier.metrics import cost
from espalier.metrics.accuracy import score
from espalier.metrics.predictions import Predictions
from espalier.networks import artifact
from espalier.networks.chain import networks
from espalier.plan.spec import EvaluateStage
from espalier.runs import provenance, record
from espalier.runs.clock import Clock
from espalier.runs.columns import SCORES, write_rows
from espalier.site import device
from espalier.site.process import spare_compiler

BATCH = 256
PREDICTIONS = "predictions.csv"

log = logging.getLogger("espalier")


def evaluate(
    folder: Path,
    spec: EvaluateStage,
    parent: Path,
    data_file: Path,
    *,
    before: Sequence[Path] = (),
    branches: Sequence[Path] = (),
    started: float,
) -> None:
    """Score a chain on the test split, in fp32, and write the run's folder: the end, and all on the way to it.

    Predictions, where they are asked for, are written before the metrics, which say that a run is done.

    Args:
        parent: the run whose network is the chain's end
        before: the runs that it came from, in order
        branches: runs beside the line whose forms are scored too

    Raises:
        ArtifactError: the network cannot be rebuilt, or is not made for this data.
        DataError: the data set cannot be used.
    """
    clock = Clock(started)
    spare_compiler()
    device.prepare()
    where = device.choose()
    prepared = Prepared.read(data_file, ("test",))
    data = Resident(prepared, where)
    artifact.check(artifact.load(parent), parent, data_file, data.num_classes, data.image_size)
    predictions = Predictions() if spec.evaluate.predictions else None

    def place(model: nn.Module) -> nn.Module:
        return model.to(where, memory_format=torch.channels_last)

    rows: list[dict[str, Any]] = []
    end, scores = {}, {}
    for model, row in networks([*before, parent, *branches], place):
        is_end = row["run"] == provenance.identifier(parent) and bool(row["kept"])
        found = score(model, data.batches("test", BATCH), predictions.add if predictions and is_end else None)
        rows.append(row | {"images": data.size("test")} | {f"test_{metric}": value for metric, value in found.items()})
        if is_end:
            scores, end = found, {"params": cost.params(model), "macs": cost.macs(model, data.image_size)}
    if predictions:
        predictions.write(Path(folder) / PREDICTIONS, prepared.splits["test"], data.classes)
    row = {"images": data.size("test")} | {f"test_{metric}": value for metric, value in scores.items()}
    write_rows(Path(folder) / "scores.csv", SCORES, rows)
    record.write(
        folder,
        "evaluate",
        spec,
        row,
        parent=parent,
        data_file=data_file,
        data=data,
        clock=clock,
        seed=None,
        **end,
        resumed=0,
        predictions=PREDICTIONS if predictions else None,
    )
    log.info("test top-1 %.2f %% of %d images", scores["top1"], row["images"])
