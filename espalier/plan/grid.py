"""The grid of a study: blocks of axes become points, each a set of changes to the study's own settings."""

import itertools
import math
import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from espalier.plan.study import Axes, Block
from espalier.settings.misdeclared import TAKEN
from espalier.settings.registry import Choice, Spec, preset_names
from espalier.settings.sections import Teacher, Training
from espalier.settings.words import value


@dataclass(frozen=True)
class Change:
    """One key set by a point: its value, the label the user gave it, and where in the study file it stands."""

    value: Any
    label: str | None
    origin: tuple


GridPoint = Mapping[str, Change]


def expand(block: Block, index: int) -> Iterator[GridPoint]:
    """All points of one block; `exclude` and `when` are applied later, on resolved settings.

    Raises:
        UnequalAxes: axes under `zip` have different lengths.
    """
    where = ("grid", index)
    product = [_changes(path, axis, (*where, "product")) for path, axis in block.product.items()]
    for combined in itertools.product(*product, _zipped(block.zip, (*where, "zip")), _listed(block, where)):
        yield dict(itertools.chain.from_iterable(part.items() for part in combined))


def size(block: Block) -> int:
    """How many points a block expands to."""
    lengths = [*map(len, block.product.values()), max(map(len, block.zip.values()), default=1), len(block.points) or 1]
    return math.prod(lengths)


class UnequalAxes(ValueError):
    """Axes under `zip` that cannot vary together."""


def _changes(path: str, axis: Mapping[str, Any], where: tuple) -> list[GridPoint]:
    return [
        {path: Change(found, None if label.startswith("\0") else label, (*where, path, label))}
        for label, found in axis.items()
    ]


def _zipped(axes: Axes, where: tuple) -> list[GridPoint]:
    lengths = {path: len(axis) for path, axis in axes.items()}
    if len(set(lengths.values())) > 1:
        text = ", ".join(f"{path} has {length}" for path, length in lengths.items())
        raise UnequalAxes(f"axes that vary together need equally many values: {text}")
    columns = [_changes(path, axis, where) for path, axis in axes.items()]
    rows = zip(*columns, strict=True)
    return [dict(itertools.chain.from_iterable(c.items() for c in row)) for row in rows] or [{}]


def _listed(block: Block, where: tuple) -> list[GridPoint]:
    return [
        {path: Change(found, None, (*where, "points", index, path)) for path, found in point.items()}
        for index, point in enumerate(block.points)
    ] or [{}]


def attribute(spec: Spec, path: str) -> Any:
    """The setting at a key path of resolved settings.

    Raises:
        KeyError: these settings have no such key (the momentum of adam).
    """
    found: Any = spec
    for key in path.split("."):
        if not isinstance(found, Spec) or key not in type(found).model_fields:
            raise KeyError(path)
        found = getattr(found, key)
    return found


def has(spec: Spec, path: str) -> bool:
    """Whether resolved settings have a key path."""
    try:
        attribute(spec, path)
    except KeyError:
        return False
    return True


def label(found: Any, without: Collection[str] = ()) -> str:
    """A short readable name of a setting: ``sgd lr=0.05``, ``pad_crop+mixup``, ``16-32-64``, ``none``.

    Args:
        without: settings of a registry entry that are named elsewhere
    """
    if isinstance(found, Choice):
        known = preset_names(found.entry().kind)
        # Settings that hold a mapping, which no kind with presets has, cannot be looked up.
        if preset := known and known.get(found):
            return preset
        settings = found.model_dump(exclude_defaults=True, exclude={*TAKEN, *without})
        return " ".join([found.name, *(f"{key}={label(inner)}" for key, inner in settings.items())])
    if isinstance(found, Teacher) and found.model:
        # All settings of its run would say little in many words.
        return f"{label(found.model)} T={label(found.temperature)} weight={label(found.weight)}"
    if isinstance(found, Training):
        # Of some twenty keys those that were said.
        said = found.model_dump(exclude_defaults=True)
        return " ".join(f"{key}={label(getattr(found, key))}" for key in said) or "default"
    if isinstance(found, Spec):
        settings = found.model_dump()
        if not isinstance(settings, dict):
            return label(settings)
        return " ".join(f"{key}={label(inner)}" for key, inner in settings.items()) or "default"
    if isinstance(found, tuple | list):
        named = any(isinstance(item, Choice) for item in found)
        return ("+" if named else "-").join(label(item) for item in found) or "none"
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, dict):
        return " ".join(f"{key} {label(inner)}" for key, inner in found.items() if key != "plugin")
    if isinstance(found, float):
        return _of_float(found)
    return "none" if found is None else str(found)


def _of_float(found: float) -> str:
    """As short as it can be written: ``0.05``, ``1e-9``, ``1e9``."""
    text = str(Decimal(str(found)).normalize() if abs(found) >= 1e5 else found)
    digits, e, power = text.lower().partition("e")
    return f"{digits}e{int(power)}" if e else text


def matches(spec: Spec, labels: Mapping[str, str], condition: Mapping[str, Any]) -> bool:
    """Whether settings meet every key of a condition: by value, by name, by label, or by any of a list."""
    return all(_meets(spec, labels.get(path), path, wanted) for path, wanted in condition.items())


def _meets(spec: Spec, given: str | None, path: str, wanted: Any) -> bool:
    try:
        found = attribute(spec, path)
    except KeyError:
        return False
    if isinstance(wanted, list) and not isinstance(found, tuple):
        return any(_meets(spec, given, path, option) for option in wanted)
    if isinstance(found, Choice) and isinstance(wanted, Mapping):
        resolved = found.model_dump(mode="json")
        return all(key in resolved and resolved[key] == inner for key, inner in wanted.items())
    if isinstance(found, tuple):
        found = tuple(item.name if isinstance(item, Choice) else item for item in found)
        wanted = tuple(wanted) if isinstance(wanted, list) else wanted
    name = found.name if isinstance(found, Choice) else found
    return wanted == name or (isinstance(wanted, str) and wanted in (given, label(found)))


_COMPARISONS = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
    "!=": operator.ne,
}
COUNTED = ("params", "macs")
"""Quantities of a network that a constraint may name besides the settings themselves."""


@dataclass(frozen=True)
class Constraint:
    """A budget such as ``params < 5e6``."""

    key: str
    compare: Callable[[Any, Any], bool]
    bound: float

    @classmethod
    def parse(cls, text: str) -> "Constraint":
        """Read ``key comparison number``.

        Raises:
            ValueError: the text is no comparison of a key with a number.
        """
        parts = re.fullmatch(r"\s*([\w.]+)\s*(<=|>=|<|>|==|!=)\s*(\S+)\s*", text)
        bound = value(parts[3]) if parts else None
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise ValueError(f"found {text!r}, expected a comparison with a number such as `params < 5e6`")
        return cls(parts[1], _COMPARISONS[parts[2]], bound)

    def holds(self, spec: Spec, counts: Mapping[str, int]) -> bool:
        """Whether a point meets the budget; one that has no such key (the momentum of adam) does.

        Raises:
            ValueError: the key is no number.
        """
        try:
            found = counts[self.key] if self.key in COUNTED else attribute(spec, self.key)
        except KeyError:
            return True
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise ValueError(f"{self.key} is {label(found)!r}; a constraint compares numbers")
        return self.compare(found, self.bound)
