"""Settings that are each legal and do not fit together, found before any job from what entries state of themselves."""

from espalier.counted import counted
from espalier.data import channel_rules, stated
from espalier.models import rules
from espalier.plan import teachers
from espalier.plan.chain import Settings
from espalier.settings.registry import Choice
from espalier.stages import STAGES
from espalier.stages.definition import Misfits
from espalier.stages.prune import unclear_epochs


def misfits(settings: Settings) -> Misfits:
    """Every (key path, message) of settings with which a run would fail.

    Checked are each stage alone, the stages together, and the teachers. A mistake that a teacher takes over from the
    chain is told once.
    """
    known = [*_of_chain(settings)]
    yield from known
    for path, _, spec in teachers.of_chain(settings, settings.stages()):
        found = [*_of_model(spec.model, settings.dataset), *STAGES["train"].misfits(spec)]
        found += channel_rules.misfits(spec, stated.channels(settings.dataset))
        yield from ((f"{path}.{key}", message) for key, message in found if (key, message) not in known)


def _of_chain(settings: Settings) -> Misfits:
    yield from _of_model(settings.model, settings.dataset)
    yield from channel_rules.misfits(settings, stated.channels(settings.dataset))
    if settings.control and settings.prune is None:
        yield "control", f"nothing is pruned; set prune; control {settings.control} compares with a pruned network"
    if settings.control == "scratch":
        yield from _from_scratch(settings)
    for name in settings.stages():
        yield from STAGES[name].misfits(settings)


def _from_scratch(settings: Settings) -> Misfits:
    """What keeps a control from being trained as long as the network that it is compared with."""
    train, epochs = settings.train, settings.control_epochs
    extended = settings.extend.epochs if settings.extend else 0
    together = train.epochs + extended + settings.fine_tune.epochs
    if epochs is None and (why := unclear_epochs(settings.pretrained, settings.checkpoint, together)):
        yield "control", why
    elif epochs and train.warmup_epochs >= epochs:
        warmup = f"a warm-up of {train.warmup_epochs:g} epochs, as train has it, is all of {counted(epochs, 'epoch')}"
        yield "control_epochs", f"{warmup}; make these more"


def _of_model(model: Choice, dataset: Choice) -> Misfits:
    if message := rules.misfit(model.entry(), model.settings(), stated.image_size(dataset), stated.channels(dataset)):
        yield "model", message
