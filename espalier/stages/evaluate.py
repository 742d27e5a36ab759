"""The evaluate stage: the one place that reads the test split."""

from typing import TYPE_CHECKING, Any

from espalier.runs.columns import SCORES, write_rows
from espalier.settings.registry import Spec
from espalier.settings.sections import Evaluation
from espalier.stages.definition import Outcome, stage

if TYPE_CHECKING:
    from torch import nn

    from espalier.stages.frame.stage_run import StageRun

BATCH = 256
PREDICTIONS = "predictions.csv"


class EvaluateStage(Spec):
    """The test split, scored once, at the end of a chain."""

    evaluate: Evaluation = Evaluation()
    """what evaluation writes"""


@stage(
    place=60,
    settings=EvaluateStage,
    reads="network",
    splits=("test",),
    files=("scores.csv",),
    columns=("images", "test_loss", "test_top1", "test_top5"),
    gpu=True,
    scores_chain=True,
)
def evaluate(run: "StageRun", spec: EvaluateStage) -> Outcome:
    """Score a chain on the test split, once, in fp32: its end, and all on the way to it.

    predictions.csv, where it is asked for, is written before the metrics.

    Raises:
        ArtifactError: the network cannot be rebuilt, or is not made for this data.
        DataError: the data set cannot be used.
    """
    import torch

    from espalier.metrics import cost
    from espalier.metrics.accuracy import score
    from espalier.metrics.predictions import Predictions
    from espalier.networks.scored import networks
    from espalier.runs.record import identifier
    from espalier.site import device

    device.prepare()
    where = device.choose()
    data = run.load(where)
    run.network()
    predictions = Predictions() if spec.evaluate.predictions else None

    def place(model: "nn.Module") -> "nn.Module":
        return model.to(where, memory_format=torch.channels_last)

    rows: list[dict[str, Any]] = []
    end, scores = {}, {}
    for model, row, pixels in networks([*run.parents, *run.branches], place):
        is_end = row["run"] == identifier(run.parent) and bool(row["kept"])
        keep = predictions.add if predictions and is_end else None
        found = score(model, data.batches("test", BATCH, pixels=pixels), keep)
        rows.append(row | {"images": data.size("test")} | {f"test_{metric}": value for metric, value in found.items()})
        if is_end:
            scores, end = found, {"params": cost.params(model), "macs": cost.macs(model, data.image_size)}
    if predictions:
        predictions.write(run.folder / PREDICTIONS, data.splits["test"], data.classes)
    row = {"images": data.size("test")} | {f"test_{metric}": value for metric, value in scores.items()}
    write_rows(run.folder / "scores.csv", SCORES, rows)
    said = f"test top-1 {scores['top1']:.2f} % of {row['images']} images"
    more = (PREDICTIONS,) if predictions else ()
    return Outcome(row, said, end | {"predictions": PREDICTIONS if predictions else None}, more)
