"""What is wrong with a study or a command line: every mistake, each with its place and its mend."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from espalier.counted import counted
from espalier.errors import Mistake
from espalier.settings.bounded_yaml import shown
from espalier.settings.registry import ROOMS, entries, presets


@dataclass(frozen=True)
class Problem:
    """One mistake: the key it is at, what is wrong, and where it was written (``file:line`` or ``--config``)."""

    key: str
    message: str
    place: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.key, self.message) if part)


class StudyError(Mistake):
    """All mistakes found, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = sorted(dict.fromkeys(problems), key=_order)
        super().__init__("\n".join(map(str, self.problems)))


def _order(problem: Problem) -> tuple[str, int]:
    file, _, line = problem.place.rpartition(":")
    return (file, int(line)) if line.isdigit() else (problem.place, 0)


def unknown(what: str, found: str, allowed: Iterable[str]) -> str:
    """The message for a name that is not among the allowed ones, nearest first."""
    allowed = sorted(allowed)
    near = difflib.get_close_matches(str(found)[:_COMPARED], allowed, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {what} {shown(found)}{hint} (allowed: {', '.join(allowed)})"


_COMPARED = 80
"""Characters of a name that are held against the allowed ones."""


_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a name, or a mapping with a name and settings",
    "literal_error": "{expected}",
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number less than {lt}",
    "less_than_equal": "a number of at most {le}",
    "too_short": "at least {values}",
    "finite_number": "a finite number",
}


def describe(error: ErrorDetails, root: type[BaseModel]) -> tuple[str, str]:
    """One pydantic error as (dotted key, message)."""
    loc, kind, found = error["loc"], error["type"], error["input"]
    context = error.get("ctx", {})
    if "min_length" in context:
        context = context | {"values": counted(context["min_length"], "value")}
    key = ".".join(str(part) for part in written(loc, root))
    if kind == "extra_forbidden":
        return key, _nested(str(loc[-1])) or unknown("key", str(loc[-1]), _siblings(loc[:-1], root))
    if kind == "literal_error" and loc[-1] == "name":
        return key.removesuffix(".name"), unknown("name", found, re.findall(r"'([^']*)'", context["expected"]))
    if kind == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
        kind = next((kind for kind in ROOMS if set(entries(kind)) == set(tags)), None)
        return key, unknown("name", context["tag"], [*tags, *(presets(kind) if kind else ())])
    if kind == "union_tag_not_found":
        return key, f"found {shown(found)}, which has no name; write the name beside the settings"
    if kind == "missing":
        return key, "missing; it has no default"
    if kind == "value_error":
        return key, str(context["error"])
    expected = _EXPECTED.get(kind)
    if expected is None:
        return key, f"found {shown(found)}: {error['msg']}"
    return key, f"found {shown(found)}, expected {expected.format(**context)}"


def _nested(key: str) -> str:
    """What is said of a key path where a key stands; nothing of a key."""
    parts = key.split(".")
    if len(parts) == 1 or not all(parts):
        return ""
    inner = f"{parts[-1]}: …"
    for part in reversed(parts[1:-1]):
        inner = f"{part}: {{{inner}}}"
    return f"{shown(key)} is a path; write its keys one in the other: {parts[0]}: {{{inner}}}"


def written(loc: tuple, root: type[BaseModel]) -> tuple:
    """The path as the user wrote it: without what pydantic adds to tell one type of a choice."""
    return tuple(part for part, _ in _walk(loc, root) if part is not None)


def _siblings(loc: tuple, root: type[BaseModel]) -> list[str]:
    steps = list(_walk(loc, root))
    model = steps[-1][1] if steps else root
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _walk(loc: tuple, root: type[BaseModel]):
    """Each part of a location (None for what names one type of several) with the model that it leads to."""
    options: list[type[BaseModel]] = [root]
    for part in loc:
        # The label of one of several types that a value may have.
        if isinstance(part, str) and (part == "str" or "[" in part):
            yield None, options[0] if len(options) == 1 else None
            continue
        named = [option for option in options if option.__name__ == part and option is not root]
        if named and not any(part in option.model_fields for option in options):
            options = named
            yield None, named[0]
            continue
        fields = [f for o in options for n, f in o.model_fields.items() if part in (n, f.alias)]
        if fields:
            options = [model for field in fields for model in _models(field.annotation)]
        elif not isinstance(part, int):
            options = []
        yield part, options[0] if len(options) == 1 else None


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]
