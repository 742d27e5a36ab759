"""The evaluate stage: the one place that reads the test split."""

import logging
import time
from pathlib import Path

import torch

from espalier import artifact, device, provenance
from espalier.data.prepared import Prepared
from espalier.data.resident import Resident
from espalier.errors import ArtifactError
from espalier.measure import cost
from espalier.measure.accuracy import score
from espalier.measure.predictions import Predictions
from espalier.plan.spec import EvaluateStage
from espalier.process import spare_compiler
from espalier.results.columns import METRICS, write_rows

BATCH = 256
PREDICTIONS = "predictions.csv"

log = logging.getLogger("espalier")


def evaluate(folder: Path, spec: EvaluateStage, parent: Path, data_file: Path, *, started: float) -> None:
    """Score the network of `parent` on the test split, in fp32, and write the run's folder.

    Predictions, where they are asked for, are written before the metrics, which say that a run is done.

    Raises:
        ArtifactError: the network cannot be rebuilt, or is not made for this data.
        DataError: the data set cannot be used.
    """
    since = time.time() - (time.monotonic() - started)
    spare_compiler()
    threads = device.prepare()
    where = device.choose()
    network = artifact.load(parent)
    prepared = Prepared.read(data_file, ("test",))
    data = Resident(prepared, where)
    made, found = (network.num_classes, network.image_size), (data.num_classes, data.image_size)
    if made != found:
        raise ArtifactError(
            f"{Path(parent) / 'model.json'}: made for (classes, image size) {made}, and {data_file} has {found}; "
            "evaluate it on the data set that it was trained on"
        )
    model = network.model.to(where, memory_format=torch.channels_last)
    predictions = Predictions() if spec.evaluate.predictions else None
    scores = score(model, data.batches("test", BATCH), predictions and predictions.add)
    if predictions:
        predictions.write(Path(folder) / PREDICTIONS, prepared.splits["test"], data.classes)
    ids = {"run": provenance.identifier(folder), "parent": provenance.identifier(parent)}
    row = ids | {"images": data.size("test")} | {f"test_{metric}": value for metric, value in scores.items()}
    times = {"wall_s": round(time.monotonic() - started, 3), "cpu_s": round(time.process_time(), 3)}
    write_rows(Path(folder) / "metrics.csv", METRICS["evaluate"], [row | times])
    provenance.write(
        folder,
        "evaluate",
        spec,
        parent=parent,
        data={"path": str(data_file), "checksum": data.checksum},
        seed=None,
        device=device.name(where),
        threads=threads,
        started=since,
        **times,
        params=cost.params(model),
        macs=cost.macs(model, data.image_size),
        resumed=0,
        predictions=PREDICTIONS if predictions else None,
    )
    log.info("test top-1 %.2f %% of %d images", scores["top1"], row["images"])
