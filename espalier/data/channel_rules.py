"""Refuses augmentations and corruptions that are defined for gray or RGB images only, where images have other channels.

The fact `requires` of an augmentation maps a rule to the message for settings that break it. A rule is an expression
of the settings and `channels`, which `espalier.settings.expressions` evaluates without torch.
"""

from collections.abc import Iterator

from espalier.settings.expressions import value
from espalier.settings.registry import Choice, Spec

_OF_COLOURS = ("brightness", "jpeg")
"""Corruptions that know gray and RGB images alone."""


def misfits(settings: Spec, channels: int) -> Iterator[tuple[str, str]]:
    """Every (key path, message) of what is not defined for images of so many channels, of settings of any stage."""
    extension = getattr(settings, "extend", None)
    policies = {"augment": getattr(settings, "augment", ()), "extend.augment": getattr(extension, "augment", None)}
    for path, policy in policies.items():
        for one in policy or ():
            yield from ((path, message) for message in _of_augmentation(one, channels))
    asked = getattr(getattr(settings, "evaluate", None), "corruptions", None)
    undefined = [name for name in asked.names if name in _OF_COLOURS] if asked else []
    if undefined and channels not in (1, 3):
        told = f"defined for gray or RGB images alone: {', '.join(undefined)}; set names to others"
        yield "evaluate.corruptions", f"{told}; the number of channels is {channels}"


def _of_augmentation(one: Choice, channels: int) -> Iterator[str]:
    known = {**one.settings(), "channels": channels}
    for rule, message in one.entry().facts.get("requires", {}).items():
        if not value(rule, known):
            yield f"{one.name}: {message}; the number of channels is {channels}"
