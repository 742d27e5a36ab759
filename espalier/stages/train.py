"""The train stage: from settings and a prepared data set to an artifact."""

import logging
import math
import time
from pathlib import Path

import torch

from espalier.data.policy import Policy
from espalier.data.resident import Resident
from espalier.errors import ArtifactError, Mistake
from espalier.metrics import cost
from espalier.networks import artifact, own_weights
from espalier.plan.spec import TrainStage
from espalier.runs import record
from espalier.runs.checkpoint import Checkpoints
from espalier.runs.clock import Clock
from espalier.runs.columns import HISTORY, METRICS, write_rows
from espalier.runs.work import Work
from espalier.settings.keys import flat
from espalier.site import device, ranks
from espalier.site.process import spare_compiler
from espalier.training import compiled_step
from espalier.training.best_epoch import best
from espalier.training.loop import fit, validated
from espalier.training.state import State
from espalier.training.watch import Watch

log = logging.getLogger("espalier")


def train(spec: TrainStage, data_file: Path, work: Work) -> None:
    """Train, or go on training, and write the run's folder; of several processes the main one writes.

    Raises:
        Mistake: settings, data or checkpoint cannot be used, or the loss has diverged.
        Interrupted: the run was asked to stop; its state is saved.
    """
    folder = work.folder
    spare_compiler()
    ranks.expect(spec.train.processes, spec.train.batch_size)
    device.prepare(spec.train.deterministic)
    accelerator = device.accelerate(spec.train.precision)
    data = Resident.load(data_file, accelerator.device)
    settings = dict(flat(spec.model_dump(mode="json", exclude_defaults=True)))
    weights_of = {"checkpoint_sha256": own_weights.checksum(Path(spec.checkpoint))} if spec.checkpoint else {}
    identity = settings | {"data": data.checksum} | weights_of
    checkpoints = Checkpoints(folder / "checkpoint", identity)
    saved = checkpoints.load()
    model, policy = build(spec, data, accelerator.device, fresh=saved is None)
    size, macs = cost.params(model), cost.macs(model, data.image_size)
    if saved is None:
        log.info("%s: %d parameters, %d MACs, on %s", spec.model.name, size, macs, accelerator.device)
    clock = Clock(work.started)
    ready = time.process_time()
    if spec.train.epochs:
        steps = data.steps_per_epoch(spec.train.batch_size)
        state = State.begin(model, spec.train, steps, scaler=accelerator.scaler, clock=clock)
        if saved:
            state.load_state_dict(saved)
            log.info("resumed at epoch %d, step %d of %d", state.epoch, state.step, steps)
        watch = Watch(work, checkpoints, state, epochs=spec.train.epochs, steps_per_epoch=steps)
        with_compiler = compiled_step.wanted(model, spec.train, data.size("train"), data.image_size, accelerator.device)
        fit(
            state,
            data,
            policy,
            spec.train,
            seed=spec.seed,
            accelerator=accelerator,
            watch=watch,
            compiled=with_compiler,
        )
        weights, history, resumed = state.best, state.history, state.resumed
        chosen = best(history, spec.train.select)
    else:
        work.heartbeat.beat(now=True, epoch=0, epochs=0)
        weights, history, resumed = model.state_dict(), [], 0
        chosen = _untrained(model, data, spec)
    if not ranks.main():
        return

    artifact.save(folder, weights, spec.model, data.num_classes, data.image_size)
    write_rows(folder / "history.csv", HISTORY, history)
    row = {key: chosen.get(key, "") for key in METRICS["train"]}
    row |= {"params": size, "macs": macs, "epochs": len(history), "best_epoch": chosen["epoch"]}
    record.write(
        folder,
        "train",
        spec,
        row,
        parent=data_file,
        data_file=data_file,
        data=data,
        clock=clock,
        seed=spec.seed,
        startup_cpu_s=round(ready, 3),
        params=size,
        macs=macs,
        resumed=resumed,
        **weights_of,
    )
    checkpoints.remove()
    work.heartbeat.beat("done")
    log.info("best epoch %d: validation top-1 %.2f %%", chosen["epoch"], chosen["validation_top1"])


def _untrained(model: torch.nn.Module, data: Resident, spec: TrainStage) -> dict[str, float]:
    """What the weights that a run starts from score, as a row of history has it.

    Raises:
        ArtifactError: their loss is not finite.
    """
    found = validated(model, data, spec.train)
    if not math.isfinite(found["loss"]):
        start = spec.checkpoint or "the published weights"
        raise ArtifactError(f"{start}: the validation loss with these weights is {found['loss']}; use others")
    return {"epoch": 0} | {f"validation_{name}": value for name, value in found.items()}


def build(
    spec: TrainStage, data: Resident, where: torch.device, *, fresh: bool = True
) -> tuple[torch.nn.Module, Policy]:
    """The network, initialized from the seed and on its device, and the augmentations.

    Args:
        fresh: whether weights to start from are loaded where they are asked for; a resumed run has its own

    Raises:
        Mistake: the settings do not go together, or weights to start from cannot be had.
    """
    try:
        policy = Policy(spec.augment)
        device.seed(where, spec.seed, "init")
        model = spec.model.build(data.num_classes, data.image_size)
    except ValueError as error:
        raise Mistake(str(error)) from error
    if spec.pretrained and fresh:
        from espalier.networks.pretrained import load

        left = load(model, spec.model)
        log.info("published weights loaded; initialized from the seed: %s", ", ".join(left) or "nothing")
    if spec.checkpoint and fresh:
        own_weights.load(model, Path(spec.checkpoint))
        log.info("weights of %s loaded", spec.checkpoint)
    layout = torch.channels_last if spec.train.channels_last else torch.contiguous_format
    return model.to(where, memory_format=layout), policy
