"""What an axis of a search space may hold: a distribution of numbers, or values that are equally likely."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from espalier.settings.bounded_yaml import shown

DIGITS = 4
"""Significant digits of a number that is drawn: short to read, and the same whatever library takes the logarithm."""
DISTRIBUTIONS = {
    "uniform": "a number between the bounds, all equally likely",
    "log_uniform": "a number whose logarithm is uniform: as many between 0.001 and 0.01 as between 0.01 and 0.1",
    "integer": "a whole number, both bounds included, all equally likely",
    "log_integer": "a whole number, both bounds included, small ones more often: as many from 1 to 9 as from 10 to 99",
}
"""Name → what is drawn."""
_WHOLE = ("integer", "log_integer")
Draw = Mapping[str, float | int]
"""A point of a space: axis → the number drawn, or the place of its value among those of the axis, from 0."""


@dataclass(frozen=True)
class Distribution:
    """A distribution of numbers between two bounds."""

    name: str
    low: float
    high: float

    @property
    def whole(self) -> bool:
        """Whether its numbers are whole ones."""
        return self.name in _WHOLE

    @property
    def log(self) -> bool:
        """Whether the logarithm of its numbers is uniform."""
        return self.name.startswith("log_")

    def at(self, share: float) -> float | int:
        """The quantile at `share` in [0, 1): a number to `DIGITS` significant digits, or a whole number."""
        # A whole number is what is left of the next one.
        high = self.high + 1 if self.whole else self.high
        if self.log:
            found = math.exp(math.log(self.low) + share * (math.log(high) - math.log(self.low)))
        else:
            found = self.low + share * (high - self.low)
        return self.rounded(found)

    def rounded(self, found: float) -> float | int:
        """A number to the digits that draws have, within the bounds; of whole ones the one below."""
        rounded = math.floor(found) if self.whole else float(f"{found:.{DIGITS}g}")
        # Rounding, and the last bit of a logarithm, may lead over a bound.
        return min(max(rounded, self.low), self.high)


def at(axis: Distribution | Mapping[str, Any], share: float) -> float | int:
    """The value of an axis at a quantile `share` in [0, 1): a number of a distribution, or the index of a value."""
    return axis.at(share) if isinstance(axis, Distribution) else int(share * len(axis))


def as_written(space: "Space") -> dict[str, Any]:
    """A space as a file would have it, for JSON."""

    def axis(found: Distribution | Mapping[str, Any]) -> Any:
        if isinstance(found, Distribution):
            return {found.name: [found.low, found.high]}
        bare = all(label.startswith("\0") for label in found)
        return list(found.values()) if bare else dict(found)

    return {path: axis(found) for path, found in space.items()}


def read(found: Any) -> Distribution | dict[str, Any]:
    """An axis as it is written: a distribution with its bounds, label → value, or a list of values, whose labels are
    made later.

    Raises:
        ValueError: it is none of them, or the bounds are missing or wrong.
    """
    if isinstance(found, list) and found:
        return {f"\0{index}": item for index, item in enumerate(found)}
    if not isinstance(found, Mapping) or not found:
        if isinstance(found, str) and found in DISTRIBUTIONS:
            raise ValueError(f"{found} has no bounds; write {_form(found)}")
        raise ValueError(f"found {shown(found)}, expected a list of values, or {_form('log_uniform')}")
    named = [key for key in found if key in DISTRIBUTIONS]
    if not named:
        _check_label(found)
        return dict(found)
    if len(found) > 1:
        raise ValueError(f"{named[0]} stands alone; write {_form(named[0])}, and call a label otherwise")
    return _distribution(named[0], found[named[0]])


def _form(distribution: str) -> str:
    """How a distribution is written."""
    return f"{{{distribution}: {'[1, 100]' if distribution in _WHOLE else '[1e-3, 1]'}}}"


def _check_label(found: Mapping[str, Any]) -> None:
    """Refuse a single label that was meant as a distribution: one value alone is no axis."""
    (key, *others) = found
    near = difflib.get_close_matches(key, DISTRIBUTIONS, n=1, cutoff=0.75)
    if near and not others:
        raise ValueError(
            f"unknown distribution {shown(key)}; did you mean {near[0]!r}? (allowed: {', '.join(DISTRIBUTIONS)})"
        )


def _distribution(name: str, bounds: Any) -> Distribution:
    if not isinstance(bounds, list) or len(bounds) != 2:
        raise ValueError(f"{name} needs two bounds, found {shown(bounds)}; write {_form(name)}")
    for bound in bounds:
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
            raise ValueError(f"{name}: found {shown(bound)}, expected a finite number")
        if name in _WHOLE and not isinstance(bound, int):
            raise ValueError(f"{name}: found {shown(bound)}, expected a whole number")
    low, high = bounds
    if low >= high:
        raise ValueError(f"{name}: the lower bound comes first and is smaller, found {shown(bounds)}")
    if name.startswith("log_") and low <= 0:
        raise ValueError(f"{name}: found {shown(low)}, expected bounds greater than 0")
    return Distribution(name, *bounds) if name in _WHOLE else Distribution(name, float(low), float(high))


_BOUNDS = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
Dimension = Annotated[
    Distribution | dict[str, Any],
    PlainValidator(read),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "minItems": 1},
                *(
                    {"type": "object", "properties": {name: _BOUNDS}, "required": [name], "additionalProperties": False}
                    for name in DISTRIBUTIONS
                ),
                {"type": "object", "minProperties": 1, "propertyNames": {"not": {"enum": list(DISTRIBUTIONS)}}},
            ]
        }
    ),
]
"""The type of an axis of `space`."""
Space = dict[str, Dimension]
