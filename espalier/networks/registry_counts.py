"""Every network of the registry by its counts: as images get larger, as it gets deeper, beside its standard variant.

All on the meta device: shapes alone, nothing is allocated.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import torch
from pydantic import TypeAdapter
from torch import nn

from espalier.metrics import cost
from espalier.models import rules
from espalier.networks.single_pass import Counts, counts
from espalier.settings.misdeclared import TAKEN
from espalier.settings.registry import Choice, choice, entries, preset_names, presets

CLASSES, CHANNELS = 10, 3
SIDES = (16, 24, 32, 48, 64, 96, 128, 160, 192, 224)
USUAL_SIDE = 32
STANDARD_SIDE = 224
"""What the networks of torchvision are made for."""
_MIB = 2**20

Row = dict[str, Any]


def networks() -> Iterator[Row]:
    """A row for each network, at its defaults and as each preset, and each image side that it takes."""
    for name, model in _named().items():
        for side in SIDES:
            if size := _size(model, side):
                yield _about(name, model, side) | {
                    "params": size.params,
                    "macs": size.of.macs,
                    "training_macs": size.of.training_macs,
                    "layers": size.layers,
                    "activation_input_mib": size.of.input_bytes / _MIB,
                    "activation_saved_mib": size.of.saved_bytes / _MIB,
                    "novelty": "; ".join(model.entry().facts.get("novelty", ())),
                }


def depths() -> Iterator[Row]:
    """A row for each network of the series that deepen a family (fact `depths`), at the usual side or the next taken.

    A family that several settings deepen has a series for each.
    """
    for family, entry in entries("model").items():
        for setting, values in entry.facts.get("depths", {}).items():
            for value in values:
                model = _read({"name": family, setting: value})
                sides = (side for side in SIDES if side >= USUAL_SIDE)
                side, size = next((side, size) for side in sides if (size := _size(model, side)))
                yield _about(family, model, side) | {
                    "setting": setting,
                    "params": size.params,
                    "macs": size.of.macs,
                    "layers": size.layers,
                }


def standards() -> Iterator[Row]:
    """A row for each variant whose standard variant is in torchvision (fact `standard`), both for images of 224."""
    for family, entry in entries("model").items():
        for settings, name in _standards(entry.facts.get("standard", {})):
            model = _read({"name": family, **settings})
            size = _size(model, STANDARD_SIDE)
            standard = _published(name)
            yield _about(family, model, STANDARD_SIDE) | {
                "standard": name,
                "params": size.params,
                "standard_params": cost.params(standard),
                "macs": size.of.macs,
                "standard_macs": cost.macs(standard, STANDARD_SIDE),
            }


def _standards(fact: str | Mapping[str, Mapping[Any, str]]) -> Iterator[tuple[dict[str, Any], str]]:
    """Settings of a variant and the name of its standard; the fact is a name, or setting → value → name."""
    if isinstance(fact, str):
        yield {}, fact
    else:
        yield from (({setting: value}, name) for setting, names in fact.items() for value, name in names.items())


def _published(name: str) -> nn.Module:
    from torchvision.models import get_model

    with torch.device("meta"):
        return get_model(name, num_classes=CLASSES, weights=None)


def _named() -> dict[str, Choice]:
    """Name → network; a preset that is its family at the defaults has no row of its own."""
    found = {name: _read(name) for name in entries("model")}
    families = set(found.values())
    return found | {name: model for name in presets("model") if (model := _read(name)) not in families}


def _read(value: Mapping[str, Any] | str) -> Choice:
    return TypeAdapter(choice("model")).validate_python(value)


class _Size(NamedTuple):
    params: int
    layers: int
    of: Counts


@cache
def _size(model: Choice, side: int) -> _Size | None:
    """The network for images of `side`; None where they are too small for it."""
    if rules.misfit(model.entry(), model.settings(), side, CHANNELS):
        return None
    with torch.device("meta"):
        network = model.build(CLASSES, side, CHANNELS)
    return _Size(cost.params(network), cost.layers(network), counts(network, side, CHANNELS))


def _about(name: str, model: Choice, side: int) -> Row:
    settings = model.model_dump(exclude_defaults=True, exclude={*TAKEN})
    label = ", ".join(f"{key} {_words(value)}" for key, value in settings.items())
    return {
        "name": name,
        "preset": preset_names("model").get(model, ""),
        "settings": label,
        "classes": CLASSES,
        "image_size": side,
    }


def _words(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
