"""The quantize stage: from a float network to one of few bits, and what every other setting of the grid scores."""

import copy
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Strict

from espalier.runs.columns import BEST_EPOCH, GRID, HISTORY, write_rows
from espalier.runs.log import log
from espalier.settings.registry import Spec, choice
from espalier.settings.sections import Quantization
from espalier.settings.types import Natural
from espalier.stages.definition import Misfits, Outcome, stage
from espalier.stages.train import warmup_misfits

if TYPE_CHECKING:
    from espalier.stages.frame.stage_run import StageRun

_TRAINED = ("epochs", "best_epoch", "train_loss", "train_top1", "images_per_s")


class QuantizeStage(Spec):
    """A network with weights and activations of few bits, at every setting of a grid of widths."""

    quantize: Quantization | None = None
    """widths of weights and activations, and how networks are brought to them; {} for the defaults, null for none"""
    augment: Annotated[tuple[choice("augmentation"), ...], Strict(False)] = ()
    """augmentations of the training images, those of training; only quantization-aware fine-tuning sees them"""
    seed: Natural = 0
    """seed of order, augmentation and dropout"""


def _misfits(settings: QuantizeStage) -> Misfits:
    asked = settings.quantize
    kept = asked.kept()
    for name in ("weight_bits", "activation_bits"):
        if getattr(kept, name) not in getattr(asked, name):
            yield f"quantize.keep.{name}", f"{getattr(kept, name)} is not in quantize.{name}; name one that is"
    given = asked.scheme.settings()
    aims = [name for name in ("price", "bytes", "drop") if given.get(name) is not None]
    if "price" in given and len(aims) != 1:
        said = " and ".join(aims) or "none"
        yield "quantize.scheme", f"rate_distortion follows one of price, bytes and drop, and {said} is given; name one"
    if given.get("rounding") == "compensated" and not given["symmetric_weights"]:
        yield "quantize.scheme", "compensated rounding needs symmetric levels; use rounding: nearest beside them"
    train = asked.fine_tune
    if train is None:
        return
    if len(asked.weight_bits) * len(asked.activation_bits) > 1:
        message = "it trains one setting; give one width of each, and vary quantize.weight_bits as an axis"
        yield "quantize.fine_tune", message
    if kept.weight_bits == kept.activation_bits == 32:
        yield "quantize.fine_tune", "at 32 bits there are no levels to train with"
    if kept.activation_bits != 32 and asked.scheme.entry().facts.get("dynamic"):
        message = f"activations of {asked.scheme.name} have no step to learn; use calibrated, or activation_bits: [32]"
        yield "quantize.fine_tune", message
    if not train.epochs:
        yield "quantize.fine_tune.epochs", "0 trains nothing; leave fine_tune out"
    yield from warmup_misfits("quantize.fine_tune", train)
    for name in ("processes", "nodes"):
        if getattr(train, name) > 1:
            yield f"quantize.fine_tune.{name}", "quantization-aware fine-tuning runs in one process; use 1"


@stage(
    place=40,
    settings=QuantizeStage,
    reads="network",
    network="model.safetensors",
    files=("model.json", "levels.safetensors", "cells.safetensors", "grid.csv", "history.csv"),
    columns=(
        *("params", "macs", "nonzeros", "sparsity", "weight_bits", "activation_bits", "price", "theoretical_mib"),
        *("activation_mib", "file_bytes", "epochs", "best_epoch", *BEST_EPOCH),
    ),
    training="quantize.fine_tune",
    gpu=True,
    resumable=True,
    slug=lambda spec: "w{0.weight_bits}a{0.activation_bits}".format(spec.quantize.kept()),
    misfits=_misfits,
)
def quantize(run: "StageRun", spec: QuantizeStage) -> Outcome:
    """Bring a network to every setting of a grid of widths, and keep one.

    Raises:
        Mistake: the network, data or checkpoint cannot be used.
        Interrupted: the run was asked to stop; its state is saved.
    """
    import torch

    from espalier.data.feed import Feed
    from espalier.data.policy import Policy
    from espalier.metrics import cost
    from espalier.metrics.accuracy import score
    from espalier.networks import artifact
    from espalier.networks.coded_network import SMALLEST, coded_bytes
    from espalier.networks.network import Network
    from espalier.pruning.account import nonzeros, sparsity
    from espalier.quantization.cells import at
    from espalier.quantization.fine_tuning import fine_tune
    from espalier.quantization.quantized import install
    from espalier.quantization.sizes import Sizes
    from espalier.quantization.width_grid import EVALUATION_BATCH, BitGrid
    from espalier.site import device

    asked, train = spec.quantize, spec.quantize.fine_tune
    device.prepare(train is None or train.deterministic)
    accelerator = device.accelerate(train.precision if train else "fp32")
    data = run.load(accelerator.device)
    network = run.network()
    model = network.model.to(accelerator.device, memory_format=torch.channels_last)
    checkpoints = run.checkpoints()
    sizes = Sizes(model, data.image_size, data.channels)
    run.ready()
    sides = data.num_classes, data.image_size
    of_grid = checkpoints.within("price") if train else checkpoints
    grid = BitGrid(
        asked,
        of_grid,
        60 * run.checkpoint_minutes,
        lambda model, made: coded_bytes(
            Network(model, network.choice, *sides, network.shapes, made, Feed.of(data)), **SMALLEST
        ),
    )
    if begun := of_grid.load():
        grid.resume(begun)
    history: list[dict[str, Any]] = []
    trained: dict[str, Any] = {"epochs": 0, "best_epoch": 0}
    kept = asked.kept()
    if train:
        price = grid.price(model, data, spec.seed, run.interruption, run.heartbeat)
        tuned = fine_tune(
            asked,
            model,
            data,
            run,
            policy=Policy(spec.augment),
            teacher=run.taught_by(train),
            seed=spec.seed,
            accelerator=accelerator,
            checkpoints=checkpoints,
            saved=checkpoints.load(),
            price=price,
        )
        model, made, history, resumed = tuned.model, tuned.quantization, tuned.history, tuned.resumed
        trained = {"epochs": len(history), "best_epoch": tuned.chosen["epoch"], **tuned.chosen}
        weights = model.state_dict()
        install(model, made)
    else:
        if begun:
            log.info("resumed after %d settings", len(grid.rows))
        grid.run(model, data, spec.seed, run.interruption, run.heartbeat)
        cell = grid.cells.of(kept.weight_bits, kept.activation_bits)
        made, model = cell.quantization, at(copy.deepcopy(model), cell)
        weights, resumed = model.state_dict(), grid.resumed
    widths = {"weight_bits": kept.weight_bits, "activation_bits": kept.activation_bits}
    found = score(model, data.batches("validation", EVALUATION_BATCH), classes=data.num_classes)
    scores = {f"validation_{name}": value for name, value in found.items()}
    row = widths | {"kept": 1} | sizes.row(made) | scores
    rows = grid.rows or [{name: row[name] for name in GRID}]

    artifact.save(run.folder, weights, network.choice, *sides, network.shapes, made, Feed.of(data))
    grid.cells.write(run.folder / "cells.safetensors")
    write_rows(run.folder / "grid.csv", GRID, rows)
    write_rows(run.folder / "history.csv", HISTORY, history)
    counts = {"params": cost.params(model), "macs": cost.macs(model, data.image_size, data.channels)}
    row = counts | {"nonzeros": nonzeros(model), "sparsity": sparsity(model)}
    row |= widths | sizes.row(made) | scores | {name: trained.get(name, "") for name in _TRAINED}
    price = grid.prices.get(kept.weight_bits)
    row |= {"price": "" if price is None else price}
    row |= {"file_bytes": (run.folder / "model.safetensors").stat().st_size}
    said = (
        f"{kept.weight_bits}-bit weights and {kept.activation_bits}-bit activations are kept: "
        f"validation top-1 {found['top1']:.2f} %"
    )
    return Outcome(row, said, counts | {"resumed": resumed})
