"""The settings of one run as ``key=value`` words: its command line, readable in a log and runnable by hand."""

import json
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from espalier.settings.bounded_yaml import Unreadable, read, shown
from espalier.settings.keys import flat, put
from espalier.settings.problems import Problem, StudyError, describe
from espalier.settings.registry import Spec


def value(text: str) -> Any:
    """A text as YAML 1.2 reads it: ``1e-3`` is a number, ``no`` a text, ``[1, 2]`` a list.

    Raises:
        ValueError: the text is not YAML, or more of it than anyone means.
    """
    try:
        return read(text)
    except Unreadable as error:
        raise ValueError(f"{shown(text)} cannot be read as a value: {error}") from error


def words(spec: Spec) -> list[str]:
    """The settings that differ from their defaults, as ``key=value``; `parse` reads them back."""
    return [f"{key}={_text(value)}" for key, value in flat(spec.model_dump(exclude_defaults=True, mode="json"))]


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value.isidentifier() else json.dumps(value)


def parse(kind: type[Spec], pairs: Iterable[str]) -> Spec:
    """Settings of one kind from ``key=value`` words.

    Raises:
        StudyError: every unknown key, wrong value or malformed word, with what is allowed.
    """
    nested: dict[str, Any] = {}
    problems = []
    for pair in pairs:
        key, equals, text = pair.partition("=")
        try:
            if not equals:
                raise ValueError(f"found {pair!r}, expected key=value")
            put(nested, key, value(text))
        except ValueError as error:
            problems.append(Problem(key, str(error), "command line"))
    spec = None
    try:
        spec = kind.model_validate(nested)
    except ValidationError as error:
        problems += [Problem(*describe(e, kind), "command line") for e in error.errors()]
    if problems:
        raise StudyError(problems)
    return spec
