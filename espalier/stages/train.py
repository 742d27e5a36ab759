"""The train stage: from settings and a prepared data set to a network."""

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Strict

from espalier.counted import counted
from espalier.errors import ArtifactError, Mistake
from espalier.models import rules
from espalier.runs.columns import HISTORY, write_rows
from espalier.runs.log import log
from espalier.settings.registry import Choice, Spec, choice, entries
from espalier.settings.sections import Training
from espalier.settings.start import Checkpoint, Start
from espalier.settings.types import AUGMENT_STAGES, Natural
from espalier.stages.definition import Misfits, Outcome, stage

_NO_WEIGHTS = (".json", ".csv", ".log", ".esp", ".onnx", ".pt2")
"""Endings of files that lie beside weights."""

if TYPE_CHECKING:
    import torch

    from espalier.data.policy import Policy
    from espalier.data.resident import Resident
    from espalier.stages.frame.stage_run import StageRun


class TrainStage(Spec):
    """A network trained on the train split, its best epoch chosen on the validation split."""

    model: choice("model")
    """network, by name or with its settings"""
    augment: Annotated[tuple[choice("augmentation"), ...], Strict(False)] = ()
    """augmentations of the training images, in order, by name or with their settings"""
    train: Training = Training()
    """how the network is trained"""
    pretrained: bool = False
    """start from the ImageNet weights that torchvision or timm publish, as far as their shapes fit"""
    checkpoint: Checkpoint = None
    """start from weights of your own: a file (safetensors, or a state dict saved by torch), by its path or with more
    settings; a run; or the best of a study"""
    seed: Natural = 0
    """seed of initialization, order, augmentation and dropout"""


def _misfits(settings: TrainStage) -> Misfits:
    model, train = settings.model, settings.train
    if settings.pretrained and not rules.published(model.entry(), model.settings()):
        yield "pretrained", _fitting(model)
    if settings.checkpoint and settings.pretrained:
        yield "checkpoint", "pretrained starts from other weights; keep one of the two"
    if settings.checkpoint:
        yield from _misfits_of_start(settings.checkpoint, train)
    if not train.epochs and not (settings.checkpoint or settings.pretrained):
        yield "train.epochs", "0 leaves a network untrained; name a checkpoint that it starts from, or train it"
    yield from augmentation_misfits(settings.augment)
    yield from training_misfits("train", train)


def _misfits_of_start(start: Start, train: Training) -> Misfits:
    if start.file is None:
        yield "checkpoint", "the plan finds the network of a run or a study; by hand, name its file"
    elif Path(start.file).is_dir():
        yield "checkpoint", f"{start.file!r} is a folder; name a file in it, or a run: {{run: {Path(start.file).name}}}"
    elif not Path(start.file).is_file():
        yield "checkpoint", f"there is no file {start.file!r}; name one that holds weights"
    elif Path(start.file).suffix in _NO_WEIGHTS:
        yield "checkpoint", f"{start.file!r} holds no state dict; name a file in safetensors or of torch, or a run"
    for key, what in {"new_classifier": "a new last layer", "new_statistics": "new running statistics"}.items():
        if getattr(start, key) and not train.epochs:
            yield f"checkpoint.{key}", f"0 epochs leave {what} untrained; give train.epochs, or leave this out"


def _fitting(model: Choice) -> str:
    """Which published weights there are instead."""
    if fitting := model.entry().facts.get("pretrained"):
        return f"published weights of {model.name} fit where {'; or '.join(dict.fromkeys(fitting.values()))}"
    names = ", ".join(name for name, one in entries("model").items() if "pretrained" in one.facts)
    return f"no weights of {model.name} are published; there are some of {names}"


def augmentation_misfits(augment: tuple[Choice, ...], path: str = "augment") -> Iterator[tuple[str, str]]:
    """Every (key path, message) of augmentations that do not follow one another."""
    kinds = [AUGMENT_STAGES.index(one.entry().facts["stage"]) for one in augment]
    for position, (before, after) in enumerate(pairwise(kinds), 1):
        first, second = augment[position - 1].name, augment[position].name
        if after < before:
            yield path, f"{second} works on {AUGMENT_STAGES[after]} images and must stand before {first}"
        elif after == before == AUGMENT_STAGES.index("mixing"):
            yield path, f"{first} and {second} both mix images; keep one"


def training_misfits(section: str, train: Training) -> Iterator[tuple[str, str]]:
    """Every (key path, message) of training settings that cannot work together.

    Checked are the warm-up, the teacher, the division of a batch among processes and nodes, and compilation.
    """
    yield from warmup_misfits(section, train)
    if train.teacher and not train.epochs:
        yield f"{section}.teacher", "in 0 epochs nothing is learned of it; leave it out"
    if train.batch_size < train.processes:
        leave = counted(train.batch_size, "image leaves", "images leave")
        message = f"{leave} some of {train.processes} processes without one; raise it"
        yield f"{section}.batch_size", message
    if train.processes % train.nodes:
        message = f"{train.nodes} nodes share processes equally, not {train.processes}; make these a multiple"
        yield f"{section}.nodes", message
    if train.compile and train.processes > 1:
        message = "steps of several processes are not compiled; set it to false, or processes to 1"
        yield f"{section}.compile", message


def warmup_misfits(section: str, train: Training) -> Iterator[tuple[str, str]]:
    """(key path, message) of a warm-up that leaves the schedule no step."""
    if train.epochs and train.warmup_epochs >= train.epochs:
        left = f"leaves {train.scheduler.name} nothing of a training of {counted(train.epochs, 'epoch')}"
        yield f"{section}.warmup_epochs", f"a warm-up of {train.warmup_epochs:g} epochs {left}; make it shorter"


@stage(
    place=10,
    settings=TrainStage,
    reads="data",
    network="model.safetensors",
    files=("model.json", "history.csv"),
    columns=(
        *("params", "macs", "epochs", "best_epoch", "train_loss", "train_top1"),
        *("validation_loss", "validation_top1", "validation_top5", "validation_balanced_top1"),
        "images_per_s",
    ),
    training="train",
    gpu=True,
    resumable=True,
    pausable=True,
    slug=lambda spec: (
        f"{spec.model.name}-{spec.train.optimizer.name}{'-taught' * bool(spec.train.teacher)}-s{spec.seed}"
    ),
    misfits=_misfits,
)
def train(run: "StageRun", spec: TrainStage) -> Outcome | None:
    """Train a network, or go on training; of several processes the main one writes.

    Raises:
        Mistake: settings, data or checkpoint cannot be used, or the loss has diverged.
        Interrupted: the run was asked to stop; its state is saved.
        Paused: the run is to pause before its next epoch; its state is saved.
    """
    from espalier.data.feed import Feed
    from espalier.metrics import cost
    from espalier.networks import artifact, own_weights
    from espalier.site import device, ranks
    from espalier.training import longer
    from espalier.training.loop import fit
    from espalier.training.selection import best
    from espalier.training.state import State
    from espalier.training.watch import Watch

    ranks.expect(spec.train.processes, spec.train.batch_size)
    device.prepare(spec.train.deterministic)
    accelerator = device.accelerate(spec.train.precision)
    data = run.load(accelerator.device)
    if spec.checkpoint:
        run.read[spec.checkpoint.file] = own_weights.checksum(Path(spec.checkpoint.file))
    checkpoints = run.checkpoints()
    longer.go_on(spec.train, checkpoints, run.folder)
    saved = checkpoints.load()
    model, policy = build(spec, data, accelerator.device, fresh=saved is None)
    teacher = run.taught_by(spec.train)
    size, macs = cost.params(model), cost.macs(model, data.image_size, data.channels)
    if saved is None:
        log.info("%s: %d parameters, %d MACs, on %s", spec.model.name, size, macs, accelerator.device)
    run.ready()
    if spec.train.epochs:
        steps = data.steps_per_epoch(spec.train.batch_size)
        state = State.begin(model, spec.train, steps, scaler=accelerator.scaler, clock=run.clock)
        if saved:
            state.load_state_dict(saved)
            if state.continued:
                run.continued = state.continued["run"]
                run.read[f"{run.continued}/{longer.FILE}"] = state.continued["sha256"]
            log.info("resumed at epoch %d, step %d of %d", state.epoch, state.step, steps)
        watch = Watch(run, checkpoints, state, epochs=spec.train.epochs, steps_per_epoch=steps, pausing=run.pausing)
        fit(state, data, policy, spec.train, seed=spec.seed, accelerator=accelerator, watch=watch, teacher=teacher)
        longer.keep(state, spec.train, checkpoints, run.folder)
        weights, history, resumed = state.best, state.history, state.resumed
        chosen = best(history, spec.train.select)
    else:
        run.heartbeat.beat(now=True, epoch=0, epochs=0)
        weights, history, resumed = model.state_dict(), [], 0
        chosen = _untrained(model, data, spec)
    if not ranks.main():
        return None

    artifact.save(run.folder, weights, spec.model, data.num_classes, data.image_size, feed=Feed.of(data))
    write_rows(run.folder / "history.csv", HISTORY, history)
    counts = {"params": size, "macs": macs}
    row = {key: chosen.get(key, "") for key in run.stage.columns}
    row |= counts | {"epochs": len(history), "best_epoch": chosen["epoch"]}
    said = f"best epoch {chosen['epoch']}: validation top-1 {chosen['validation_top1']:.2f} %"
    return Outcome(row, said, counts | {"resumed": resumed})


def _untrained(model: "torch.nn.Module", data: "Resident", spec: TrainStage) -> dict[str, Any]:
    """What the weights that a run starts from score, as a row of history has it.

    Raises:
        ArtifactError: their loss is not finite.
    """
    from espalier.training.loop import validated

    found = validated(model, data, spec.train)
    if not math.isfinite(found["loss"]):
        start = spec.checkpoint.file if spec.checkpoint else "the published weights"
        raise ArtifactError(f"{start}: the validation loss with these weights is {found['loss']}; use others")
    return {"epoch": 0} | {f"validation_{name}": value for name, value in found.items()}


def build(
    spec: TrainStage, data: "Resident", where: "torch.device", *, fresh: bool = True
) -> "tuple[torch.nn.Module, Policy]":
    """The network, initialized from the seed and on its device, and the augmentations.

    Args:
        fresh: whether weights to start from are loaded where they are asked for; a resumed run has its own

    Raises:
        Mistake: the settings do not go together, or weights to start from cannot be had.
    """
    import torch

    from espalier.data.policy import Policy
    from espalier.networks import own_weights, pretrained
    from espalier.networks.network import structure
    from espalier.site import device

    try:
        policy = Policy(spec.augment)
        device.seed(where, spec.seed, "init")
        model = structure(spec.model, data.num_classes, data.image_size, data.channels)
    except ValueError as error:
        raise Mistake(str(error)) from error
    if spec.pretrained and fresh:
        left = pretrained.load(model, spec.model)
        log.info("published weights loaded; initialized from the seed: %s", ", ".join(left) or "nothing")
    if spec.checkpoint and fresh:
        remarks = own_weights.load(model, spec.checkpoint)
        log.info("weights of %s loaded", "; ".join([spec.checkpoint.file, *remarks]))
    layout = torch.channels_last if spec.train.channels_last else torch.contiguous_format
    return model.to(where, memory_format=layout), policy
