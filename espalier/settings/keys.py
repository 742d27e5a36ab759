"""Nested settings and their dotted key paths: ``train.optimizer.lr`` is one key everywhere."""

from collections.abc import Iterator, Mapping
from typing import Any

from espalier.settings.bounded_yaml import shown

_WEIGHTS = {"file", "run", "study"}
"""What names the weights of a checkpoint."""


def put(settings: dict, path: str, value: Any) -> None:
    """Set one key; a registry name on the way becomes a mapping with that name (``sgd`` → ``{name: sgd}``).

    Raises:
        ValueError: the path leads into a value that has no keys.
    """
    *parents, last = path.split(".")
    for key in parents:
        inner = settings.setdefault(key, {})
        if isinstance(inner, str):
            inner = settings[key] = {"name": inner}
        if not isinstance(inner, dict):
            raise ValueError(f"{path}: {key} is {shown(inner)}, which has no keys")
        settings = inner
    settings[last] = value


def merged(settings: Mapping, changes: Mapping) -> dict:
    """`settings` with `changes` laid over it, mapping by mapping.

    A change that names another registry entry, or other weights to start from, replaces the whole mapping: the settings
    of one optimizer mean nothing to another.
    """
    result = dict(settings)
    for key, new in changes.items():
        old = result.get(key)
        if isinstance(new, Mapping):
            old = {"name": old} if isinstance(old, str) else old
            same = isinstance(old, Mapping) and new.get("name", old.get("name")) == old.get("name")
            same = same and not (key == "checkpoint" and new.keys() & _WEIGHTS)
            new = merged(old if same else {}, new)
        result[key] = new
    return result


def flat(settings: Mapping, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with its dotted path, in order; lists are leaves."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping that `flat` made leaves of."""
    found: dict[str, Any] = {}
    for path, value in settings.items():
        put(found, path, value)
    return found
