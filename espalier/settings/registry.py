"""Registries: named functions whose keyword-only arguments are their settings.

Models, data sets, augmentations, optimizers, schedulers, tables and figures are chosen by name in a
study. Each is one function marked with `@register`; its keyword-only arguments, with their types,
defaults and ``Args:`` lines, are the settings a user may write. The plan reads them from the source
text, so that a study is checked without importing torch; `Choice.build` imports the one file needed.
"""

import ast
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, create_model

from espalier.settings import types

_ROOT = Path(__file__).parents[1]

ROOMS = {
    "dataset": "data/sets",
    "model": "models",
    "augmentation": "data/augment",
    "optimizer": "training/optimizers.py",
    "scheduler": "training/schedulers.py",
    "pruning": "pruning/methods.py",
    "quantization": "quantization/schemes.py",
    "table": "results/tables",
    "figure": "results/figures",
}
"""Where the functions of each kind live: one file, or a folder with one family a file."""


def register(kind: str, **facts: object) -> Callable:
    """Mark a function as an entry of the registry `kind`; `facts` are literals the plan may read."""
    if kind not in ROOMS:
        raise ValueError(f"no registry {kind!r}; the registries are {', '.join(ROOMS)}")
    return lambda function: function


class Spec(BaseModel):
    """Settings that refuse unknown keys, wrong types and later changes."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, protected_namespaces=()
    )


class Choice(Spec):
    """A registry entry with its settings, e.g. ``{name: sgd, lr: 0.1}``."""

    # Descriptions come from the entry; looking for docstrings of attributes reads the source of every type.
    model_config = ConfigDict(use_attribute_docstrings=False)

    def settings(self) -> dict[str, Any]:
        """The keyword arguments of the registered function."""
        return {key: getattr(self, key) for key in type(self).model_fields if key != "name"}

    def build(self, *args: Any, **kwargs: Any) -> Any:
        """Import the registered function and call it with these settings."""
        return self.entry().load()(*args, **self.settings(), **kwargs)

    @classmethod
    def entry(cls) -> "Entry":
        return cls.__entry__


@dataclass(frozen=True)
class Entry:
    """What the source says about one registered function."""

    kind: str
    name: str
    module: str
    doc: str
    facts: dict[str, Any]
    settings: dict[str, tuple[str, Any, str]]
    """Setting → (type as written, default or ..., description)."""

    @property
    def path(self) -> Path:
        """The file that holds the function."""
        return _ROOT.joinpath(*self.module.split(".")[1:]).with_suffix(".py")

    def load(self) -> Callable:
        return getattr(importlib.import_module(self.module), self.name)


def _files(kind: str) -> Iterator[Path]:
    place = _ROOT / ROOMS[kind]
    yield from [place] if place.suffix else sorted(place.glob("[!_]*.py"))


def _described(doc: str) -> dict[str, str]:
    """Setting → description, from the ``Args:`` lines of a docstring."""
    lines = iter(doc.partition("Args:\n")[2].splitlines())
    found: dict[str, str] = {}
    key = ""
    for line in lines:
        if not line.startswith("    "):
            break
        if not line.startswith("     "):
            key, _, text = line.strip().partition(": ")
            found[key] = text
        else:
            found[key] += " " + line.strip()
    return found


def _literal(node: ast.expr, path: Path) -> Any:
    """A value that is written out, which alone can be read without running the file; nothing in it is called.

    Raises:
        ValueError: it is not written out, or is no value: a list as a key.
    """
    try:
        # Python's own reader of literals: unlike eval it knows no names and no calls.
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        where, text = f"{path}:{node.lineno}", ast.unparse(node)
        raise ValueError(f"{where}: {text} must be a literal, to be read without importing torch") from None


def _entries_of(path: Path, kind: str) -> Iterator[Entry]:
    module = ".".join(("espalier", *path.relative_to(_ROOT).with_suffix("").parts))
    for node in ast.parse(path.read_text(), path).body:
        for mark in getattr(node, "decorator_list", ()):
            if not (isinstance(mark, ast.Call) and getattr(mark.func, "id", "") == "register"):
                continue
            if _literal(mark.args[0], path) != kind:
                continue
            doc = ast.get_docstring(node) or ""
            described = _described(doc)
            settings = {
                arg.arg: (
                    ast.unparse(arg.annotation),
                    ... if default is None else _literal(default, path),
                    described.get(arg.arg, ""),
                )
                for arg, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            }
            facts = {word.arg: _literal(word.value, path) for word in mark.keywords}
            yield Entry(kind, node.name, module, doc, facts, settings)


@cache
def entries(kind: str) -> dict[str, Entry]:
    """All entries of a registry by name.

    Raises:
        ValueError: two functions of one registry share a name, or a default or fact is no literal.
    """
    found: dict[str, Entry] = {}
    for path in _files(kind):
        for entry in _entries_of(path, kind):
            if entry.name in found:
                raise ValueError(f"two {kind} entries named {entry.name!r}: {found[entry.name].module}, {entry.module}")
            found[entry.name] = entry
    return found


@cache
def presets(kind: str) -> dict[str, dict[str, Any]]:
    """Preset → entry and settings it stands for, from the entries' fact ``presets={preset: {setting: value}}``.

    Raises:
        ValueError: a preset has the name of an entry or of another preset.
    """
    found: dict[str, dict[str, Any]] = {}
    for entry in entries(kind).values():
        for name, settings in entry.facts.get("presets", {}).items():
            if name in found or name in entries(kind):
                raise ValueError(f"{entry.module}: the {kind} {name!r} exists already")
            found[name] = {"name": entry.name, **settings}
    return found


@cache
def _types(kind: str) -> tuple[type[Choice], ...]:
    """One settings type an entry; made once, since two of the same name would not be equal."""
    made = []
    for entry in entries(kind).values():
        fields = {
            key: (text, Field(default, description=about or None))
            for key, (text, default, about) in entry.settings.items()
        }
        one = create_model(
            entry.name,
            __base__=Choice,
            __module__=types.__name__,
            __doc__=entry.doc.partition("\n")[0],
            name=(Literal[entry.name], ...),
            **fields,
        )
        one.__entry__ = entry
        made.append(one)
    return tuple(made)


@cache
def preset_names(kind: str) -> dict[Choice, str]:
    """Resolved settings → the preset that they are, for labels."""
    read = TypeAdapter(choice(kind)).validate_python
    return {read(name): name for name in presets(kind)}


def choice(kind: str, default: str | None = None) -> Any:
    """The type of a setting that names an entry of `kind`: its name, or a mapping with its name and settings.

    A mapping without a name holds settings of the `default` entry. A preset may stand for a name and is resolved
    at once, so that it and the settings written out are one run.
    """
    made = _types(kind)
    union = Annotated[reduce(or_, made), Field(discriminator="name")] if len(made) > 1 else made[0]

    def named(value: Any) -> Any:
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, Mapping):
            return value
        name = value.get("name", default)
        known = presets(kind).get(name) if isinstance(name, str) else None
        return {**known, **value, "name": known["name"]} if known else {**({"name": name} if name else {}), **value}

    names = (*(one.entry().name for one in made), *presets(kind))
    return Annotated[union, BeforeValidator(named), types.AlsoWritten("name", names, tuple(presets(kind)))]
