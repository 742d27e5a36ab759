"""The prune stage: from a trained network to a pruned and fine-tuned one."""

import json
import logging
import time
from pathlib import Path

from espalier.data.resident import Resident
from espalier.errors import ArtifactError, Mistake
from espalier.networks import artifact
from espalier.plan.fits import unfit_pruning
from espalier.plan.spec import PruneStage
from espalier.pruning.account import account, layer_rows
from espalier.pruning.procedure import Pruning
from espalier.pruning.round_state import Rounds, Saver
from espalier.pruning.shapes import shapes
from espalier.runs import provenance, record
from espalier.runs.checkpoint import Checkpoints
from espalier.runs.clock import Clock
from espalier.runs.columns import HISTORY, LAYERS, write_rows
from espalier.runs.work import Work
from espalier.settings.keys import flat
from espalier.settings.sections import Training
from espalier.site import device, ranks
from espalier.site.process import spare_compiler

log = logging.getLogger("espalier")


def prune(spec: PruneStage, parent: Path, data_file: Path, work: Work) -> None:
    """Prune and fine-tune, or go on with it, and write the run's folder; of several processes the main one writes.

    Raises:
        Mistake: the network, data or checkpoint cannot be used, the network cannot be pruned so, or the loss has
            diverged.
        Interrupted: the run was asked to stop; its state is saved.
    """
    if wrong := [f"{path}: {message}" for path, message in unfit_pruning(spec)]:
        raise Mistake("; ".join(wrong))
    folder = work.folder
    spare_compiler()
    train = _recipe(spec, parent)
    ranks.expect(train.processes, train.batch_size)
    device.prepare(train.deterministic)
    accelerator = device.accelerate(train.precision)
    data = Resident.load(data_file, accelerator.device)
    network = artifact.load(parent)
    artifact.check(network, parent, data_file, data.num_classes, data.image_size)
    settings = dict(flat(spec.model_dump(mode="json", exclude_defaults=True)))
    origin = {"data": data.checksum, "parent": provenance.identifier(parent)}
    checkpoints = Checkpoints(folder / "checkpoint", settings | origin)
    saved = checkpoints.load()
    rounds = Rounds.resume(saved) if saved else Rounds()
    clock = Clock(work.started)
    if saved and not rounds.inner:
        clock.resume(rounds.seconds)
    pruning = Pruning(
        spec=spec,
        parent=network,
        data=data,
        train=train,
        accelerator=accelerator,
        work=work,
        clock=clock,
    )
    ready = time.process_time()
    model = pruning.run(rounds, Saver(checkpoints, rounds, clock))
    scores = pruning.scores(rounds)
    if not ranks.main():
        return

    artifact.save(folder, model.state_dict(), network.choice, data.num_classes, data.image_size, shapes(model))
    write_rows(folder / "history.csv", HISTORY, rounds.history)
    write_rows(folder / "layers.csv", LAYERS, layer_rows(model))
    row = account(model, network.model, data, folder / "model.safetensors") | scores
    record.write(
        folder,
        "prune",
        spec,
        row,
        parent=parent,
        data_file=data_file,
        data=data,
        clock=clock,
        seed=spec.seed,
        startup_cpu_s=round(ready, 3),
        params=row["params"],
        macs=row["macs"],
        resumed=rounds.resumed,
    )
    checkpoints.remove()
    work.heartbeat.beat("done")
    log.info(
        "%d of %d parameters are left, %d of them not zero: validation top-1 %.2f %%",
        *(row["params"], pruning.params_before, row["nonzeros"], row["validation_top1"]),
    )


def _recipe(spec: PruneStage, parent: Path) -> Training:
    """How the pruned network is trained: fine-tuned; from scratch as its parent was, with the epochs of both.

    Raises:
        ArtifactError: the parent does not say how it was trained.
    """
    if spec.control != "scratch":
        return spec.fine_tune
    path = Path(parent) / "run.json"
    try:
        told = json.loads(path.read_text())
        if told["stage"] != "train":
            raise ValueError(f"its stage is {told['stage']}, and training from scratch follows train")
        given = told["spec"].get("train", {})
        train = Training.model_validate_json(json.dumps(given))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ArtifactError(
            f"{path}: does not say how the network was trained ({error}); make the run of {parent} again"
        ) from error
    given = {"epochs": train.epochs + spec.fine_tune.epochs, "processes": spec.fine_tune.processes}
    return train.model_copy(update=given)
