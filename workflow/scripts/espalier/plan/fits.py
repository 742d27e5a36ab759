"""Settings that are each legal and do not fit together, found before any job from what entries state of themselves."""

from collections.abc import Iterator
from itertools import pairwise

from espalier.plan.spec import Settings
from espalier.plan.types import AUGMENT_STAGES
from espalier.registry import Choice


def misfits(settings: Settings) -> Iterator[tuple[str, str]]:
    """Every (key path, message) of one point's settings that no run could use."""
    yield from _model(settings.model, image_size(settings.dataset))
    yield from _augmentations(settings.augment)


def image_size(dataset: Choice) -> int | None:
    """Side of a data set's images in pixels; None where only the prepared file tells."""
    return {**dataset.entry().facts, **dataset.settings()}.get("image_size")


def _model(model: Choice, size: int | None) -> Iterator[tuple[str, str]]:
    facts = model.entry().facts
    smallest = facts.get("smallest", 1)
    if size is not None and size < smallest:
        yield "model", f"{model.name} takes images of {smallest}x{smallest} and more, and these have {size}x{size}"
    lengths = {key: len(getattr(model, key)) for key in facts.get("same_length", ())}
    if len(set(lengths.values())) > 1:
        text = " and ".join(f"{key} has {length}" for key, length in lengths.items())
        yield "model", f"{text}; {model.name} needs equally many"


def _augmentations(augment: tuple[Choice, ...]) -> Iterator[tuple[str, str]]:
    stages = [AUGMENT_STAGES.index(one.entry().facts["stage"]) for one in augment]
    for position, (before, after) in enumerate(pairwise(stages), 1):
        first, second = augment[position - 1].name, augment[position].name
        if after < before:
            yield "augment", f"{second} works on {AUGMENT_STAGES[after]} images and must stand before {first}"
        elif after == before == AUGMENT_STAGES.index("mixing"):
            yield "augment", f"{first} and {second} both mix images; keep one"
