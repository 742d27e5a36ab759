"""Settings that are each legal and do not fit together, found before any job from what entries state of themselves."""

from collections.abc import Iterator

from espalier.models import rules
from espalier.plan.chain import Settings
from espalier.settings.registry import Choice
from espalier.stages import STAGES


def misfits(settings: Settings) -> Iterator[tuple[str, str]]:
    """Every (key path, message) of one point's settings that no run could use: of each stage, and of two together."""
    model = settings.model
    if message := rules.misfit(model.entry(), model.settings(), image_size(settings.dataset)):
        yield "model", message
    if settings.control and settings.prune is None:
        yield "control", f"nothing is pruned; set prune; control {settings.control} compares with a pruned network"
    for name in settings.stages():
        yield from STAGES[name].misfits(settings)


def image_size(dataset: Choice) -> int | None:
    """Side of a data set's images in pixels; None where only the prepared file tells."""
    return {**dataset.entry().facts, **dataset.settings()}.get("image_size")
