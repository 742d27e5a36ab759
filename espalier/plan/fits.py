"""Settings that are each legal and do not fit together, found before any job from what entries state of themselves."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from espalier.models import rules
from espalier.plan.spec import PruneStage, QuantizeStage, Settings, TrainStage
from espalier.settings.registry import Choice, entries
from espalier.settings.types import AUGMENT_STAGES


def misfits(settings: Settings) -> Iterator[tuple[str, str]]:
    """Every (key path, message) of one point's settings that no run could use."""
    model = settings.model
    if message := rules.misfit(model.entry(), model.settings(), image_size(settings.dataset)):
        yield "model", message
    if settings.protocol == "published" and getattr(settings.dataset, "fraction", 1.0) < 1:
        yield "protocol", "published trains on all images outside the test split; leave dataset.fraction out"
    if settings.pretrained:
        yield from _pretrained(model)
    yield from _start(settings)
    yield from _augmentations(settings.augment)
    for section in ("train", "fine_tune"):
        asked = getattr(settings, section)
        if asked.batch_size < asked.processes:
            message = f"{asked.batch_size} images leave some of {asked.processes} processes without one; raise it"
            yield f"{section}.batch_size", message
        if asked.processes % asked.nodes:
            message = f"{asked.nodes} nodes share processes equally, not {asked.processes}; make these a multiple"
            yield f"{section}.nodes", message
    if settings.train.compile is True and settings.train.processes > 1:
        yield "train.compile", "steps of several processes are not compiled; set it to false, or processes to 1"
    if settings.prune or settings.control:
        yield from unfit_pruning(settings)
    if settings.quantize:
        yield from unfit_quantization(settings)


def image_size(dataset: Choice) -> int | None:
    """Side of a data set's images in pixels; None where only the prepared file tells."""
    return {**dataset.entry().facts, **dataset.settings()}.get("image_size")


def _pretrained(model: Choice) -> Iterator[tuple[str, str]]:
    entry = model.entry()
    if rules.published(entry, model.settings()):
        return
    if fitting := entry.facts.get("pretrained"):
        text = "; or ".join(dict.fromkeys(fitting.values()))
        yield "pretrained", f"published weights of {model.name} fit where {text}"
    else:
        names = ", ".join(name for name, one in entries("model").items() if "pretrained" in one.facts)
        yield "pretrained", f"no weights of {model.name} are published; there are some of {names}"


def _start(settings: TrainStage) -> Iterator[tuple[str, str]]:
    if settings.checkpoint and settings.pretrained:
        yield "checkpoint", "pretrained starts from other weights; keep one of the two"
    if settings.checkpoint and not Path(settings.checkpoint).is_file():
        yield "checkpoint", f"there is no file {settings.checkpoint!r}; name one that holds weights"
    if not settings.train.epochs and not (settings.checkpoint or settings.pretrained):
        yield "train.epochs", "0 leaves a network untrained; name a checkpoint that it starts from, or train it"


def _augmentations(augment: tuple[Choice, ...]) -> Iterator[tuple[str, str]]:
    stages = [AUGMENT_STAGES.index(one.entry().facts["stage"]) for one in augment]
    for position, (before, after) in enumerate(pairwise(stages), 1):
        first, second = augment[position - 1].name, augment[position].name
        if after < before:
            yield "augment", f"{second} works on {AUGMENT_STAGES[after]} images and must stand before {first}"
        elif after == before == AUGMENT_STAGES.index("mixing"):
            yield "augment", f"{first} and {second} both mix images; keep one"


def unfit_pruning(settings: PruneStage) -> Iterator[tuple[str, str]]:
    """Every (key path, message) of settings of pruning that do not go together."""
    if settings.prune is None:
        compares = f"; control {settings.control} compares with a pruned network" if settings.control else ""
        yield "control" if settings.control else "prune", f"nothing is pruned; set prune{compares}"
        return
    facts = settings.prune.entry().facts
    if settings.control == "scratch" and facts.get("rounds"):
        yield "control", f"scratch needs a size known before training, which {settings.prune.name} finds round by round"
    if not settings.fine_tune.epochs and facts.get("trains"):
        yield "fine_tune.epochs", f"{settings.prune.name} prunes while it trains; give it epochs"
    if settings.fine_tune.early_stopping and facts.get("trains"):
        yield "fine_tune.early_stopping", f"{settings.prune.name} could end before its ratio is reached; leave it out"


def unfit_quantization(settings: QuantizeStage) -> Iterator[tuple[str, str]]:
    """Every (key path, message) of settings of quantization that do not go together."""
    asked = settings.quantize
    if asked is None:
        yield "quantize", "nothing is quantized; set quantize"
        return
    kept = asked.kept()
    for name in ("weight_bits", "activation_bits"):
        if getattr(kept, name) not in getattr(asked, name):
            yield f"quantize.keep.{name}", f"{getattr(kept, name)} is not in quantize.{name}; name one that is"
    given = asked.scheme.settings()
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
    for name in ("processes", "nodes"):
        if getattr(train, name) > 1:
            yield f"quantize.fine_tune.{name}", "quantization-aware fine-tuning runs in one process; use 1"
