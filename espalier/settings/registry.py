"""Registries: named functions whose keyword-only arguments are their settings.

Models, data sets, augmentations, optimizers, schedulers, losses, metrics, tables and figures are chosen by name in a
study. Each is one function marked with `@register`; its keyword-only arguments, with their types,
defaults and ``Args:`` lines, are the settings a user may write. The plan reads them from the source
text, so that a study is checked without importing torch; `Choice.build` imports the one file needed.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, create_model

from espalier.errors import Mistake
from espalier.settings import plugins, types
from espalier.settings.declared import Entry, declared
from espalier.settings.misdeclared import TAKEN

_ROOT = Path(__file__).parents[1]

ROOMS = {
    "dataset": "data/sets",
    "model": "models",
    "augmentation": "data/augment",
    "optimizer": "training/optimizers.py",
    "scheduler": "training/schedulers.py",
    "loss": "training/losses.py",
    "pruning": "pruning/methods.py",
    "quantization": "quantization/schemes.py",
    "metric": "metrics/measures.py",
    "table": "results/tables",
    "figure": "results/figures",
}
"""Where the functions of each kind live: one file, or a folder with one family a file."""
COLUMNS = "headings, without their units, of the columns to print, in this order; by default all that tell rows apart"


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
        return {key: getattr(self, key) for key in type(self).model_fields if key not in TAKEN}

    def build(self, *args: Any, **kwargs: Any) -> Any:
        """Import the registered function and call it with these settings, and with as much of `args` as it takes."""
        entry = self.entry()
        return entry.load()(*args[: entry.given], **self.settings(), **kwargs)

    @classmethod
    def entry(cls) -> "Entry":
        return cls.__entry__


def _of_library(kind: str) -> Iterator[Entry]:
    place = _ROOT / ROOMS[kind]
    for path in [place] if place.suffix else sorted(place.glob("[!_]*.py")):
        for entry in declared(path, ".".join(("espalier", *path.relative_to(_ROOT).with_suffix("").parts))):
            if (there := _ROOT / ROOMS[entry.kind]) not in (path, path.parent):
                raise Mistake(f"{entry.place}: a {entry.kind} is looked for in {there} alone; move it there")
            yield entry


def _of_plugins() -> Iterator[Entry]:
    for path in plugins.files():
        found = declared(path, path.stem, plugin=True)
        if not found:
            raise Mistake(f"{path}: registers nothing; mark a function with @register(…), or leave the file out")
        yield from found


@cache
def entries(kind: str) -> dict[str, Entry]:
    """All entries of a registry by name, those of plugins last.

    Raises:
        Mistake: two functions of one registry share a name, or one cannot be read.
    """
    found: dict[str, Entry] = {}
    for entry in (*_of_library(kind), *_of_plugins()):
        if entry.kind != kind:
            continue
        if known := found.get(entry.name):
            raise Mistake(f"{entry.place}: the {kind} {entry.name!r} exists already, {known.place}; rename one")
        found[entry.name] = entry
    return found


@cache
def presets(kind: str) -> dict[str, dict[str, Any]]:
    """Preset → entry and settings it stands for, from the entries' fact ``presets={preset: {setting: value}}``.

    Raises:
        Mistake: a preset has the name of an entry or of another preset.
    """
    found: dict[str, dict[str, Any]] = {}
    for entry in entries(kind).values():
        for name, settings in entry.facts.get("presets", {}).items():
            if name in found or name in entries(kind):
                raise Mistake(f"{entry.place}: the {kind} {name!r} exists already; rename the preset")
            found[name] = {"name": entry.name, **settings}
    return found


@cache
def types_of(kind: str) -> tuple[type[Choice], ...]:
    """One settings type an entry; made once, since two of the same name would not be equal."""
    made = []
    for entry in entries(kind).values():
        fields = {
            key: (text, Field(default, description=about or None))
            for key, (text, default, about) in entry.settings.items()
        }
        if entry.plugin:
            fields["plugin"] = (str, ...)
        if kind == "table":
            fields["columns"] = (Annotated[tuple[str, ...], types.Strict(False)], Field((), description=COLUMNS))
        one = create_model(
            entry.name,
            __base__=Choice,
            __module__=types.__name__,
            __doc__=" ".join(entry.doc.partition("\n\n")[0].split()),
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
    made = types_of(kind)
    union = Annotated[reduce(or_, made), Field(discriminator="name")] if len(made) > 1 else made[0]

    def named(value: Any) -> Any:
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, Mapping):
            return value
        name = value.get("name", default)
        known = presets(kind).get(name) if isinstance(name, str) else None
        value = {**known, **value, "name": known["name"]} if known else {**({"name": name} if name else {}), **value}
        return _versioned(value, entries(kind).get(value.get("name")) if isinstance(value.get("name"), str) else None)

    names = (*(one.entry().name for one in made), *presets(kind))
    return Annotated[union, BeforeValidator(named), types.AlsoWritten("name", names, tuple(presets(kind)))]


def _versioned(value: dict[str, Any], entry: Entry | None) -> dict[str, Any]:
    """The settings of a plugin's entry with the version of its file, by which an edited one makes other runs.

    Raises:
        ValueError: they are of a file that is not named, or is another one by now.
    """
    asked, version = value.get("plugin"), entry.version if entry else ""
    if asked and not version:
        message = f"is of a plugin that is not named; set {plugins.VARIABLE} to its file"
        raise ValueError(f"{value.get('name')!r} {message}")
    if asked and asked != version:
        message = f"is {version} now and was {asked}; put it back, or start snakemake again, which makes new runs"
        raise ValueError(f"the plugin {entry.path} {message}")
    return value | {"plugin": version} if version else value


def check() -> None:
    """Read every registry.

    Raises:
        Mistake: all that is wrong with what the library and its plugins register.
    """
    messages = []
    for kind in ROOMS:
        try:
            presets(kind)
        except Mistake as error:
            messages += str(error).splitlines()
    if messages:
        raise Mistake("\n".join(dict.fromkeys(messages)))
