"""The prune stage: from a trained network to a pruned and fine-tuned one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Strict

from espalier.counted import counted
from espalier.errors import ArtifactError, Mistake
from espalier.runs import record as records
from espalier.runs.columns import BEST_EPOCH, HISTORY, LAYERS, write_rows
from espalier.settings.registry import Spec, choice
from espalier.settings.sections import FineTuning, Training
from espalier.settings.types import Count, Natural
from espalier.stages.definition import Misfits, Outcome, stage
from espalier.stages.train import training_misfits

if TYPE_CHECKING:
    from espalier.stages.frame.stage_run import StageRun


class PruneStage(Spec):
    """Weights or channels removed from a trained network, and the rest fine-tuned."""

    prune: choice("pruning") | None = None
    """how the network is pruned, by name or with settings; null for nothing"""
    control: Literal["random", "scratch"] | None = None
    """what pruned networks are compared with. random: weights or channels removed at random; scratch: the pruned
    structure, trained from new weights for the epochs of training, extension and fine-tuning together; null: the
    pruned network itself. Meant as an axis: [null, random, scratch]"""
    control_epochs: Count | None = None
    """epochs of the control from scratch; null for those of training, extension and fine-tuning together. Required
    where the network starts from published weights or a checkpoint, whose own training these do not count"""
    fine_tune: FineTuning = FineTuning()
    """how the pruned network is trained"""
    augment: Annotated[tuple[choice("augmentation"), ...], Strict(False)] = ()
    """augmentations of the training images, those of training"""
    seed: Natural = 0
    """seed of order, augmentation, dropout and random choices"""


def _misfits(settings: PruneStage) -> Misfits:
    facts = settings.prune.entry().facts
    if settings.prune.ratio == 0 and not getattr(settings.prune, "head_ratio", None):
        yield "prune.ratio", "0 removes nothing; give a higher ratio, or a head_ratio"
    if getattr(settings.prune, "allocation", "uniform") != "uniform" and settings.prune.scope == "global":
        why = "a global ranking takes of each layer what it takes; set scope to layer"
        yield "prune.allocation", f"{settings.prune.allocation} spreads the ratio over layers, and {why}"
    if settings.control == "scratch" and facts.get("rounds"):
        yield "control", f"scratch needs a size known before training, which {settings.prune.name} finds round by round"
    if not settings.fine_tune.epochs and facts.get("trains"):
        yield "fine_tune.epochs", f"{settings.prune.name} prunes while it trains; give it epochs"
    if settings.fine_tune.early_stopping and facts.get("trains"):
        yield "fine_tune.early_stopping", f"{settings.prune.name} could end before its ratio is reached; leave it out"
    yield from training_misfits("fine_tune", settings.fine_tune)


def unclear_epochs(pretrained: bool, checkpoint: object, epochs: int) -> str | None:
    """Why the epochs of a control from scratch must be said: what its parent starts from has been trained before.

    Args:
        epochs: of the parent's training, its extension and of fine-tuning together
    """
    if not (pretrained or checkpoint):
        return None
    start = "published weights" if pretrained else "a checkpoint"
    return (
        f"scratch would be trained for {counted(epochs, 'epoch')}, and what it is compared with starts from {start}, "
        "whose training is not counted; set control_epochs to the epochs of both, or leave scratch out"
    )


@stage(
    place=20,
    settings=PruneStage,
    reads="network",
    network="model.safetensors",
    files=("model.json", "history.csv", "rounds.csv", "layers.csv"),
    columns=(
        *("params", "macs", "nonzeros", "sparsity", "params_left", "macs_left", "file_bytes", "rounds", "epochs"),
        *("best_epoch", *BEST_EPOCH[:-1], "latency_1_ms", "latency_1_iqr_ms", "latency_64_ms", "latency_64_iqr_ms"),
        *("speedup_1", "speedup_64", "images_per_s"),
    ),
    training="fine_tune",
    gpu=True,
    resumable=True,
    slug=lambda spec: spec.control or spec.prune.name,
    misfits=_misfits,
)
def prune(run: "StageRun", spec: PruneStage) -> Outcome | None:
    """Prune a trained network and fine-tune it, or go on with it; of several processes the main one writes.

    Raises:
        Mistake: the network, data or checkpoint cannot be used, the network cannot be pruned so, or the loss has
            diverged.
        Interrupted: the run was asked to stop; its state is saved.
    """
    from espalier.data.feed import Feed
    from espalier.data.policy import Policy
    from espalier.networks import artifact
    from espalier.pruning.account import account, layer_rows
    from espalier.pruning.procedure import Pruning
    from espalier.pruning.round_state import Rounds, Saver
    from espalier.pruning.shapes import shapes
    from espalier.site import device, ranks

    train = _recipe(spec, run.parents)
    ranks.expect(train.processes, train.batch_size)
    device.prepare(train.deterministic)
    accelerator = device.accelerate(train.precision)
    data = run.load(accelerator.device)
    network = run.network()
    checkpoints = run.checkpoints()
    saved = checkpoints.load()
    rounds = Rounds.resume(saved) if saved else Rounds()
    if saved and not rounds.inner:
        run.clock.resume(rounds.seconds)
    pruning = Pruning(
        method=spec.prune,
        control=spec.control,
        policy=Policy(spec.augment),
        seed=spec.seed,
        parent=network.model,
        choice=network.choice,
        shapes=network.shapes,
        data=data,
        train=train,
        teacher=run.taught_by(train),
        accelerator=accelerator,
        work=run,
    )
    run.ready()
    model = pruning.run(rounds, Saver(checkpoints, rounds, run.clock))
    scores = pruning.scores(rounds)
    if not ranks.main():
        return None

    sizes = data.num_classes, data.image_size
    artifact.save(run.folder, model.state_dict(), network.choice, *sizes, shapes(model), feed=Feed.of(data))
    write_rows(run.folder / "history.csv", HISTORY, rounds.history)
    write_rows(run.folder / "layers.csv", LAYERS, layer_rows(model))
    row = account(model, network.model, data, run.folder / "model.safetensors") | scores
    said = (
        f"{row['params']} of {pruning.params_before} parameters are left, {row['nonzeros']} of them not zero: "
        f"validation top-1 {row['validation_top1']:.2f} %"
    )
    return Outcome(row, said, {"params": row["params"], "macs": row["macs"], "resumed": rounds.resumed})


def _recipe(spec: PruneStage, parents: Sequence[Path]) -> Training:
    """How the pruned network is trained: fine-tuned; from scratch as `train` did, with all epochs of the chain.

    Raises:
        ArtifactError: what is before it is no training and its extension, or does not say how it was done.
        Mistake: the training starts from other weights, and the epochs are not said.
    """
    if spec.control != "scratch":
        return spec.fine_tune
    trained, *extensions = found = [records.complete(folder).content for folder in parents]
    stages = [one["stage"] for one in found]
    if stages not in (["train"], ["train", "extend"]):
        raise ArtifactError(
            f"{parents[-1]}: its stages are {', '.join(stages)}, and training from scratch follows train, or train and "
            "its extend; name their folders, --parents TRAIN [EXTEND]"
        )
    train = Training.model_validate_json(json.dumps(trained["spec"].get("train", {})))
    extended = sum(one["spec"]["extend"]["epochs"] for one in extensions)
    epochs = train.epochs + extended + spec.fine_tune.epochs
    if spec.control_epochs is None and (
        why := unclear_epochs(trained["spec"].get("pretrained"), trained["spec"].get("checkpoint"), epochs)
    ):
        raise Mistake(f"control: {why}")
    given = {"epochs": spec.control_epochs or epochs, "processes": spec.fine_tune.processes, "compile": False}
    return train.model_copy(update=given)
