"""What a key takes and what it is by default, in words of the pages of keys."""

import json
from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from espalier.settings.registry import Choice, Spec
from espalier.settings.types import AlsoWritten

Link = Callable[[str, Any], str]
"""Makes words a link to the section of a type or of a kind of things that may be named."""
NAMES = {
    "dataset": ("data set", "data sets"),
    "augmentation": ("augmentation", "augmentations"),
    "model": ("network", "networks"),
    "optimizer": ("optimizer", "optimizers"),
    "scheduler": ("learning-rate schedule", "learning-rate schedules"),
    "loss": ("loss", "losses"),
    "pruning": ("pruning method", "pruning methods"),
    "quantization": ("quantization scheme", "quantization schemes"),
    "metric": ("metric", "metrics"),
    "table": ("table", "tables"),
    "figure": ("figure", "figures"),
}
"""Kind → what one of it is called, and several."""


def of(type_: Any, limits: Sequence[Any], link: Link) -> str:
    """What a setting of a type takes.

    Args:
        limits: what pydantic knows of the setting beside its type
    """
    *first, last = _alternatives(type_, limits, link)
    return f"{', '.join(first)} or {last}" if first else last


def _alternatives(type_: Any, limits: Sequence[Any], link: Link, s: str = "") -> list[str]:
    """Each thing that a type takes; with `s` in the plural."""
    if hasattr(type_, "__metadata__"):
        own = [one for data in type_.__metadata__ for one in getattr(data, "metadata", [data])]
        return _alternatives(type_.__origin__, own, link, s)
    short = {limit.schema for limit in limits if isinstance(limit, AlsoWritten)}
    read = any(isinstance(limit, BeforeValidator) for limit in limits)
    origin, args = get_origin(type_), get_args(type_)
    if "mapping" in short:
        return [f"mapping{s}"]
    if origin is Literal:
        return _literals(args)
    if origin is tuple:
        # What is read before its type is checked may be one alone.
        return [*_alternatives(args[0], (), link), "list of them"] if read else [_listed(args, link)]
    if origin is dict:
        return [*(["list"] if "list" in short else []), f"mapping{s}"]
    if args:
        found = [word for one in args if one is not NoneType for word in _alternatives(one, (), link, s)]
        text, null = ["text"] if "text" in short else [], ["`null`"] if NoneType in args else []
        return list(dict.fromkeys([*text, *found, *null]))
    if not isinstance(type_, type):
        return ["any value"]
    if issubclass(type_, Choice):
        kind = type_.entry().kind
        return [link(NAMES[kind][bool(s)], kind)]
    if type_ is bool:
        return ["`true`", "`false`"]
    words = {int: f"whole number{s}", float: f"number{s}", str: f"text{s}"}
    if type_ in words:
        return [*([f"number{s}"] if type_ is str and read else []), words[type_] + _bounds(limits)]
    return [link(f"mapping{s}", type_)]


def _listed(types: Sequence[Any], link: Link) -> str:
    """A list of any length, or of one item for each type."""
    inner = []
    for one in types:
        if one is not ...:
            found = _alternatives(one, (), link, "s")
            inner.append((", " if all(word.startswith("`") for word in found) else " or ").join(found))
    return f"{'list of' if ... in types else len(types)} {', '.join(dict.fromkeys(inner))}"


def _literals(values: Sequence[Any]) -> list[str]:
    """Values by name; whole numbers that follow each other, from the first on, as an interval."""
    found = [f"`{_yaml(value)}`" for value in values]
    if not all(type(value) is int for value in values):
        return found
    run = next((at for at, value in enumerate(values) if value != values[0] + at), len(values))
    return [f"{found[0]} to {found[run - 1]}", *found[run:]] if run > 3 else found


def _bounds(limits: Sequence[Any]) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    told = [f"{sign} {getattr(one, key)}" for one in limits for key, sign in signs.items() if hasattr(one, key)]
    return f" {' and '.join(told)}" if told else ""


def default(field: FieldInfo) -> str:
    """What a key is where nothing is said."""
    if field.is_required():
        return "required"
    if isinstance(field.default, Spec) and not isinstance(field.default, Choice):
        return "its defaults"
    return f"`{_yaml(field.default)}`"


def _yaml(default: Any) -> str:
    if isinstance(default, Choice):
        settings = default.model_dump(mode="json", exclude_defaults=True)
        return settings["name"] if len(settings) == 1 else json.dumps(settings)
    if isinstance(default, tuple) and default and all(isinstance(one, Choice) for one in default):
        return f"[{', '.join(map(_yaml, default))}]"
    # As YAML has it: a text that is empty or looks like a number is quoted.
    bare = isinstance(default, str) and default and not default.replace(".", "").isdigit()
    return default if bare else json.dumps(default)
