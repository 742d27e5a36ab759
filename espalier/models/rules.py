"""What an entry's facts say of its settings, for the plan and for the network alike; read without torch.

A fact that depends on settings is a short expression in Python's syntax over their names, such as
``smallest="2 ** (len(blocks) - 1)"``. It is walked, never run.
"""

from collections.abc import Mapping
from typing import Any

from espalier.settings.expressions import value
from espalier.settings.misdeclared import GIVEN
from espalier.settings.registry import Entry, entries

_GIVEN = len(GIVEN["model"])
_TAKING = "have its function take in_channels after image_size, and build its first layer for as many"


def smallest(entry: Entry, settings: Mapping[str, Any] | None = None) -> int:
    """Side in pixels of the smallest images that a model takes with these settings, else its defaults."""
    return value(entry.facts.get("smallest", 1), _complete(entry, settings or {}))


def misfit(
    entry: Entry, settings: Mapping[str, Any], image_size: int | None, in_channels: int | None = 3
) -> str | None:
    """Why a model cannot be built for images of this size and number of channels; None if it can.

    The facts `same_length`, `smallest` and `requires` of the model decide. `requires` maps a rule to its message; a
    rule is an expression of the settings, `image_size` and `in_channels`. Where one of these two is None, what depends
    on it is not checked.
    """
    images = {"image_size": image_size, "in_channels": in_channels}
    known = _complete(entry, settings) | images
    if entry.given < _GIVEN and in_channels not in (3, None):
        return f"{entry.name} is made for 3 channels, and these images have {in_channels}; {_TAKING}"
    lengths = {key: len(known[key]) for key in entry.facts.get("same_length", ())}
    if len(set(lengths.values())) > 1:
        text = " and ".join(f"{key} has {length}" for key, length in lengths.items())
        return f"{text}; {entry.name} needs equally many"
    if image_size is not None and image_size < (side := smallest(entry, settings)):
        return f"{entry.name} takes images of {side}x{side} and more, and these have {image_size}x{image_size}"
    for rule, message in entry.facts.get("requires", {}).items():
        judged = not any(each is None and name in rule for name, each in images.items())
        if judged and not value(rule, known):
            return f"{entry.name}: {message.format(**known)}"
    return None


def refuse(name: str, image_size: int, in_channels: int | None = None, **settings: Any) -> None:
    """Stop the model `name` from being built with settings, defaults where not given, that do not fit.

    Raises:
        ValueError: what does not fit.
    """
    if message := misfit(entries("model")[name], settings, image_size, in_channels):
        raise ValueError(message)


def published(entry: Entry, settings: Mapping[str, Any]) -> str | None:
    """The weights of the fact `pretrained` whose rule holds: ``torchvision/NAME`` or ``timm/NAME``."""
    known = _complete(entry, settings)
    return next((name for name, rule in entry.facts.get("pretrained", {}).items() if value(rule, known)), None)


def _complete(entry: Entry, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: default for key, (_, default, _) in entry.settings.items()} | dict(settings)
