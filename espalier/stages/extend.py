"""The extend stage: from a trained network to one that was trained for longer."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Strict

from espalier.errors import ArtifactError
from espalier.runs import record as records
from espalier.runs.columns import BEST_EPOCH, HISTORY, write_rows
from espalier.runs.log import log
from espalier.settings.registry import Spec, choice
from espalier.settings.sections import Extension
from espalier.settings.types import Natural
from espalier.stages.definition import Misfits, Outcome, stage
from espalier.stages.train import augmentation_misfits, training_misfits

if TYPE_CHECKING:
    from espalier.stages.frame.stage_run import StageRun


class ExtendStage(Spec):
    """A trained network trained on, from its best epoch."""

    extend: Extension | None = None
    """continue training from the best epoch, with settings of its own; null for nothing"""
    augment: Annotated[tuple[choice("augmentation"), ...], Strict(False)] = ()
    """augmentations of the training images, those of training"""
    seed: Natural = 0
    """seed of order, augmentation and dropout"""


def _misfits(settings: ExtendStage) -> Misfits:
    yield from augmentation_misfits(settings.extend.augment or (), "extend.augment")
    yield from training_misfits("extend", settings.extend)


@stage(
    place=15,
    settings=ExtendStage,
    reads="network",
    network="model.safetensors",
    files=("model.json", "history.csv"),
    columns=("params", "macs", "file_bytes", "epochs", "best_epoch", *BEST_EPOCH),
    training="extend",
    gpu=True,
    resumable=True,
    slug=lambda spec: f"extended{'-taught' * bool(spec.extend.teacher)}",
    misfits=_misfits,
)
def extend(run: "StageRun", spec: ExtendStage) -> Outcome | None:
    """Train a trained network on from its best epoch, or go on with that; of several processes the main one writes.

    The optimizer, the schedule and its warm-up start anew.

    Raises:
        Mistake: the network, data or checkpoint cannot be used, or the loss has diverged.
        Interrupted: the run was asked to stop; its state is saved.
    """
    import torch

    from espalier.data.feed import Feed
    from espalier.data.policy import Policy
    from espalier.metrics import cost
    from espalier.networks import artifact
    from espalier.seeding import key
    from espalier.site import device, ranks
    from espalier.training.loop import fit
    from espalier.training.selection import best
    from espalier.training.state import State
    from espalier.training.watch import Watch

    train = spec.extend
    if (before := records.complete(run.parent).content["stage"]) != "train":
        mend = "; a pruned network is trained on by prune itself, fine_tune" if before == "prune" else ""
        raise ArtifactError(f"{run.parent}: its stage is {before}, and extend follows train{mend}")
    ranks.expect(train.processes, train.batch_size)
    device.prepare(train.deterministic)
    accelerator = device.accelerate(train.precision)
    data = run.load(accelerator.device)
    network = run.network()
    layout = torch.channels_last if train.channels_last else torch.contiguous_format
    model = network.model.to(accelerator.device, memory_format=layout)
    policy = Policy(spec.augment if train.augment is None else train.augment)
    teacher = run.taught_by(train)
    checkpoints = run.checkpoints()
    saved = checkpoints.load()
    counts = {"params": cost.params(model), "macs": cost.macs(model, data.image_size, data.channels)}
    run.ready()
    steps = data.steps_per_epoch(train.batch_size)
    state = State.begin(model, train, steps, scaler=accelerator.scaler, clock=run.clock)
    if saved:
        state.load_state_dict(saved)
        log.info("resumed at epoch %d, step %d of %d", state.epoch, state.step, steps)
    watch = Watch(run, checkpoints, state, epochs=train.epochs, steps_per_epoch=steps)
    # Not the draws that the training has seen already.
    own = key("extend", spec.seed)
    fit(state, data, policy, train, seed=own, accelerator=accelerator, watch=watch, teacher=teacher)
    if not ranks.main():
        return None

    sizes = data.num_classes, data.image_size
    artifact.save(run.folder, state.best, network.choice, *sizes, network.shapes, feed=Feed.of(data))
    write_rows(run.folder / "history.csv", HISTORY, state.history)
    chosen = best(state.history, train.select)
    row = counts | {name: chosen[name] for name in BEST_EPOCH}
    row |= {"epochs": len(state.history), "best_epoch": chosen["epoch"]}
    row |= {"file_bytes": (run.folder / "model.safetensors").stat().st_size}
    said = f"best epoch {chosen['epoch']} of the extension: validation top-1 {chosen['validation_top1']:.2f} %"
    return Outcome(row, said, counts | {"resumed": state.resumed})
