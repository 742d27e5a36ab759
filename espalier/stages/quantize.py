"""The quantize stage: from a float network to one of few bits, and what every other setting of the grid scores."""

import copy
import logging
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from espalier.data.resident import Resident
from espalier.errors import Mistake
from espalier.metrics import cost
from espalier.metrics.accuracy import score
from espalier.networks import artifact
from espalier.plan.fits import unfit_quantization
from espalier.plan.spec import QuantizeStage
from espalier.pruning.account import nonzeros, sparsity
from espalier.quantization.cells import Cells, at
from espalier.quantization.fine_tuning import fine_tune
from espalier.quantization.quantized import Quantization, install
from espalier.quantization.sizes import Sizes
from espalier.quantization.width_grid import EVALUATION_BATCH, BitGrid
from espalier.runs import provenance, record
from espalier.runs.checkpoint import Checkpoints
from espalier.runs.clock import Clock
from espalier.runs.columns import GRID, HISTORY, write_rows
from espalier.runs.work import Work
from espalier.settings.keys import flat
from espalier.site import device
from espalier.site.process import spare_compiler

_TRAINED = ("epochs", "best_epoch", "train_loss", "train_top1", "images_per_s")

log = logging.getLogger("espalier")


def quantize(spec: QuantizeStage, parent: Path, data_file: Path, work: Work) -> None:
    """Bring a network to every setting of the grid, keep one, and write the run's folder.

    Raises:
        Mistake: the network, data or checkpoint cannot be used, or the settings do not go together.
        Interrupted: the run was asked to stop; its state is saved.
    """
    if wrong := [f"{path}: {message}" for path, message in unfit_quantization(spec)]:
        raise Mistake("; ".join(wrong))
    folder = work.folder
    spare_compiler()
    train = spec.quantize.fine_tune
    device.prepare(train is None or train.deterministic)
    accelerator = device.accelerate(train.precision if train else "fp32")
    data = Resident.load(data_file, accelerator.device)
    network = artifact.load(parent)
    artifact.check(network, parent, data_file, data.num_classes, data.image_size)
    model = network.model.to(accelerator.device, memory_format=torch.channels_last)
    settings = dict(flat(spec.model_dump(mode="json", exclude_defaults=True)))
    origin = {"data": data.checksum, "parent": provenance.identifier(parent)}
    checkpoints = Checkpoints(folder / "checkpoint", settings | origin)
    saved = checkpoints.load()
    sizes, clock, ready = Sizes(model, data.image_size, data.channels), Clock(work.started), time.process_time()
    grid = BitGrid(spec.quantize, checkpoints, 60 * work.checkpoint_minutes)
    history: list[dict[str, Any]] = []
    trained: dict[str, Any] = {"epochs": 0, "best_epoch": 0}
    if train:
        tuned = fine_tune(
            spec,
            model,
            data,
            work,
            accelerator=accelerator,
            checkpoints=checkpoints,
            saved=saved,
            clock=clock,
        )
        model, made, history, resumed = tuned.model, tuned.quantization, tuned.history, tuned.resumed
        trained = {"epochs": len(history), "best_epoch": tuned.chosen["epoch"], **tuned.chosen}
        weights = model.state_dict()
        install(model, made)
    else:
        if saved:
            grid.resume(saved)
            log.info("resumed after %d settings", len(grid.rows))
        grid.run(model, data, spec.seed, work.interruption, work.heartbeat)
        made, model = _kept(grid.cells, model, spec)
        weights, resumed = model.state_dict(), grid.resumed
    kept = spec.quantize.kept()
    widths = {"weight_bits": kept.weight_bits, "activation_bits": kept.activation_bits}
    found = score(model, data.batches("validation", EVALUATION_BATCH))
    scores = {f"validation_{name}": value for name, value in found.items()}
    rows = grid.rows or [widths | {"kept": 1} | sizes.row(made) | scores]

    artifact.save(folder, weights, network.choice, data.num_classes, data.image_size, network.shapes, made)
    grid.cells.write(folder / "cells.safetensors")
    write_rows(folder / "grid.csv", GRID, rows)
    write_rows(folder / "history.csv", HISTORY, history)
    size, macs = cost.params(model), cost.macs(model, data.image_size)
    row = {"params": size, "macs": macs, "nonzeros": nonzeros(model), "sparsity": sparsity(model)}
    row |= widths | sizes.row(made) | scores | {name: trained.get(name, "") for name in _TRAINED}
    row |= {"file_bytes": (folder / "model.safetensors").stat().st_size}
    record.write(
        folder,
        "quantize",
        spec,
        row,
        parent=parent,
        data_file=data_file,
        data=data,
        clock=clock,
        seed=spec.seed,
        startup_cpu_s=round(ready, 3),
        params=size,
        macs=macs,
        resumed=resumed,
    )
    checkpoints.remove()
    work.heartbeat.beat("done")
    log.info(
        "%d-bit weights and %d-bit activations are kept: validation top-1 %.2f %%",
        *(kept.weight_bits, kept.activation_bits, found["top1"]),
    )


def _kept(cells: Cells, model: nn.Module, spec: QuantizeStage) -> tuple[Quantization, nn.Module]:
    kept = spec.quantize.kept()
    cell = next(each for each in cells if (each.weight_bits, each.activation_bits) == tuple(kept.model_dump().values()))
    return cell.quantization, at(copy.deepcopy(model), cell)
