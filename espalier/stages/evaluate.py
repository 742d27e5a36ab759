"""The evaluate stage: the one place that reads the test split."""

from typing import TYPE_CHECKING, Any

from espalier.metrics import correct
from espalier.runs.columns import CORRUPTED, SCORES, write_rows
from espalier.settings.registry import Spec
from espalier.settings.sections import Evaluation
from espalier.stages.definition import Misfits, Outcome, stage

if TYPE_CHECKING:
    from torch import nn

    from espalier.stages.frame.stage_run import StageRun

BATCH = 256
MEASURES, PREDICTIONS, CORRUPTIONS = "test_metrics.csv", "predictions.csv", "corruptions.csv"
FILES = ("scores.csv", MEASURES, correct.FILE)
_OTHERS = ("metrics.csv", "history.csv")
"""Names that have a meaning in the folder of any run."""


class EvaluateStage(Spec):
    """The test split, scored once, at the end of a chain."""

    evaluate: Evaluation = Evaluation()
    """what is measured on the test split and written"""


def _misfits(settings: EvaluateStage) -> Misfits:
    names = [metric.name for metric in settings.evaluate.metrics]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield "evaluate.metrics", f"{name} is named twice; name it once"
        if f"{name}.csv" in (*FILES, PREDICTIONS, CORRUPTIONS, *_OTHERS):
            yield "evaluate.metrics", f"{name}.csv is a file that means something else; give this metric another name"


@stage(
    place=60,
    settings=EvaluateStage,
    reads="network",
    splits=("test",),
    files=FILES,
    columns=("images", "test_loss", "test_top1", "test_top5", "test_balanced_top1", "mean_corruption_error"),
    gpu=True,
    scores_chain=True,
    misfits=_misfits,
)
def evaluate(run: "StageRun", spec: EvaluateStage) -> Outcome:
    """Score a chain on the test split, once, in fp32: the final network and every network before it.

    Measures of probabilities are of the final network. Corrupted images are scored by every network that the chain goes
    on with, and by every exported form.

    Raises:
        ArtifactError: the network cannot be rebuilt, or is not made for this data.
        DataError: the data set cannot be used.
    """
    import torch

    from espalier.metrics import corrupted_scores, cost
    from espalier.metrics.accuracy import score
    from espalier.metrics.predictions import Predictions
    from espalier.networks.scored_networks import scored_networks
    from espalier.runs.record import identifier
    from espalier.site import device

    device.prepare()
    where = device.choose()
    data = run.load(where)
    run.network()
    test, asked = data.splits["test"], spec.evaluate
    predictions = Predictions(test, data.classes)

    def place(model: "nn.Module") -> "nn.Module":
        return model.to(where, memory_format=torch.channels_last)

    rows: list[dict[str, Any]] = []
    end, scores = {}, {}
    line = []
    for scored in scored_networks([*run.parents, *run.branches], place):
        model, row, pixels = scored
        is_end = row["run"] == identifier(run.parent) and bool(row["kept"])
        found = score(
            model,
            data.batches("test", BATCH, pixels=pixels),
            predictions.add if is_end else None,
            classes=data.num_classes,
        )
        rows.append(row | {"images": data.size("test")} | {f"test_{metric}": value for metric, value in found.items()})
        if is_end:
            macs = cost.macs(model, data.image_size, data.channels)
            scores, end = found, {"params": cost.params(model), "macs": macs}
        if asked.corruptions and row["kept"]:
            named = {name: value for name, value in row.items() if name in CORRUPTED}
            line.append(scored._replace(row=named))
    write_rows(run.folder / "scores.csv", SCORES, rows)
    more = list(predictions.write_measured(run.folder, MEASURES, asked.metrics))
    predictions.write_correct(run.folder / correct.FILE)
    if asked.predictions:
        predictions.write(run.folder / PREDICTIONS)
        more.append(PREDICTIONS)
    error: Any = ""
    if asked.corruptions:
        corrupted = list(corrupted_scores.rows(line, test, data.inputs, asked.corruptions, BATCH))
        write_rows(run.folder / CORRUPTIONS, CORRUPTED, corrupted)
        error = corrupted_scores.mean_error([row for row in corrupted if row["run"] == identifier(run.parent)])
        more.append(CORRUPTIONS)
    row = {"images": data.size("test")} | {f"test_{metric}": value for metric, value in scores.items()}
    row["mean_corruption_error"] = error
    said = f"test top-1 {scores['top1']:.2f} % of {row['images']} images"
    return Outcome(row, said, end | {"predictions": PREDICTIONS if asked.predictions else None}, tuple(more))
