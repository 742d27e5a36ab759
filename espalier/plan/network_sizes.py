"""Sizes of a study's networks before training, from its settings and the user's own images."""

from typing import Any

from espalier.data import stated
from espalier.errors import DataError
from espalier.plan import model_counts, own_images
from espalier.plan.chain import Settings
from espalier.plan.grid import label
from espalier.settings.registry import Choice


def counts(points: list[Settings]) -> list[dict[str, Any]]:
    """Parameters and MACs of every point's network, as it is after structured pruning.

    Raises:
        ValueError: they are known only once data are prepared or a network is trained.
    """
    for point in points:
        if None in shape(point):
            name = point.dataset.name
            raise ValueError(f"budgets need the classes and image size of {name!r}, which it does not state")
        if point.prune and point.prune.entry().facts["removes"] == "channels" and not countable_pruning(point):
            text = label(point.prune)
            raise ValueError(f"the size of a network after {text!r} depends on its trained weights; use scope: local")
    return model_counts.counts(model_counts.Network(p.model, *shape(p), countable_pruning(p)) for p in points)


def countable_pruning(settings: Settings) -> Choice | None:
    """Structured pruning whose widths do not depend on the weights."""
    prune = settings.prune
    by_count = prune and prune.entry().facts["removes"] == "channels" and getattr(prune, "scope", "local") == "local"
    return prune if by_count else None


def checkable_pruning(settings: Settings) -> Choice | None:
    """The part of a structured pruning that can be checked before training; None where no part can.

    It is the whole pruning where the widths do not depend on the weights, and the pruning of heads alone otherwise.
    """
    if countable_pruning(settings) or not getattr(settings.prune, "head_ratio", None):
        return countable_pruning(settings)
    return settings.prune.model_copy(update={"ratio": 0.0, "scope": "local"})


def shape(settings: Settings) -> tuple[int | None, int | None, int]:
    """Classes, image side and channels of a data set, from its entry in the registry; None what only the prepared file
    tells."""
    given = settings.dataset.settings()
    facts = given | settings.dataset.entry().facts
    by_setting = (table[given[key]] for key, table in facts.get("classes_by", {}).items() if given[key] in table)
    classes = len(given["keep"]) if given.get("keep") else next(by_setting, facts.get("classes"))
    return (
        classes or _own_classes(settings.dataset),
        stated.image_size(settings.dataset),
        stated.channels(settings.dataset),
    )


def _own_classes(dataset: Choice) -> int | None:
    """How many classes the user's own images have; None where it cannot be seen."""
    try:
        source = own_images.source(dataset)
    except DataError:
        return None
    return source and len(source.classes)
