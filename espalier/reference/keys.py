"""The reference of keys: pages of docs/keys/, one a subject, and their index in config/README.md.

A key's anchor is its path with - for each dot, that of a thing that may be named its kind and its name; on the page of
networks, which holds one kind, it is the name alone. Of a heading it is what GitHub and MkDocs make of its text.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ForwardRef, get_args, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from espalier.plan.chain import Sections
from espalier.plan.config import Config
from espalier.plan.search_keys import Halving, MedianStopping, Sample
from espalier.plan.study import Block, Condition, Select, Study
from espalier.reference import values
from espalier.search.space import DISTRIBUTIONS
from espalier.settings.declared import Entry
from espalier.settings.registry import COLUMNS, Choice, Spec, entries, types_of
from espalier.settings.types import FolderSplits, Folds

FOLDER = "docs/keys"


@dataclass(frozen=True)
class Kind:
    """Things that may be named, as a section of a page."""

    title: str
    key: str
    """where in a study they are named"""
    about: str
    """one sentence"""


@dataclass(frozen=True)
class Section:
    """Keys that stand beside each other, as a section of a page."""

    title: str
    path: str
    """what stands before a key in its path"""
    spec: type[BaseModel]

    @property
    def text(self) -> str:
        """What the code says of them, a paragraph a line."""
        return _paragraphs(inspect.getdoc(self.spec) or "")


@dataclass(frozen=True)
class Page:
    """A page: its heading, the first keys of its sections, and the kinds of things that may be named on it."""

    title: str
    keys: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()


KINDS = {
    "dataset": Kind("Data sets", "dataset", "Images to learn from: known sets, and images of your own."),
    "augmentation": Kind(
        "Augmentations", "augment", "Random changes of the training images, drawn anew in every epoch."
    ),
    "model": Kind("Networks", "model", "Families of networks, their settings and their presets."),
    "optimizer": Kind("Optimizers", "train.optimizer", "How each step of training changes the weights."),
    "scheduler": Kind("Learning-rate schedules", "train.scheduler", "How the learning rate changes during training."),
    "loss": Kind("Losses", "train.loss", "What training minimizes."),
    "pruning": Kind("Pruning methods", "prune", "Ways to remove weights or channels of a network."),
    "quantization": Kind(
        "Quantization schemes", "quantize.scheme", "Ways to bring weights and activations to few bits."
    ),
    "metric": Kind("Metrics", "evaluate.metrics", "What is measured on the test split beside top-1."),
    "table": Kind("Tables", "tables", "Tables of a study's page, also written as CSV, Markdown, LaTeX and HTML."),
    "figure": Kind("Figures", "figures", "Figures of a study's page, also written as PNG and PDF."),
}
PAGES = {
    "study": Page("Study, grid and search"),
    "data": Page("Data and augmentation", (), ("dataset", "augmentation")),
    "models": Page("Networks", (), ("model",)),
    "training": Page("Training", ("train", "checkpoint", "extend", "fine_tune"), ("optimizer", "scheduler", "loss")),
    "compression": Page(
        "Pruning, quantization and files", ("quantize", "encode", "export"), ("pruning", "quantization")
    ),
    "results": Page("Evaluation, tables and figures", ("evaluate",), ("metric", "table", "figure")),
}
"""File of a page → the page. Keys of a stage that none names stand on the first."""
_SPACE = "space: an axis"


def slug(heading: str) -> str:
    """The anchor that GitHub and MkDocs give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchor(*parts: str) -> str:
    """The anchor of a key at a path."""
    return "-".join(part.replace(".", "-") for part in parts if part)


def pages() -> dict[str, str]:
    """File name in docs/keys/ → its text."""
    reference = _Reference()
    return {f"{name}.md": "".join(reference.page(name)) for name in PAGES}


def index() -> str:
    """Every section of every page, linked from config/README.md, and what it holds."""
    reference = _Reference()
    lines = []
    for name, page in PAGES.items():
        lines.append(f"### [{page.title}](../{FOLDER}/{name}.md)\n\n| section | holds |\n|---|---|\n")
        lines += [
            f"| [{title}](../{FOLDER}/{name}.md#{slug(title)}) | {about} |\n" for title, about in reference.on(name)
        ]
        lines.append("\n")
    return "".join(lines)


class _Reference:
    """All sections and where each stands."""

    @cached_property
    def sections(self) -> dict[str, list[Section]]:
        """Page → its sections of keys, in order."""
        found: dict[str, list[Section]] = {name: [] for name in PAGES}
        found["study"] = [
            Section("config/config.yaml", "", Config),
            Section("A study", "", Study),
            Section("grid: a block", "grid", Block),
            Section("grid.select: what a block starts from", "grid.select", Select),
            Section("grid.when: a condition", "grid.when", Condition),
            Section("sample: the points that are run", "sample", Sample),
            Section("halving: worse configurations are dropped", "halving", Halving),
            Section("median_stopping: worse trainings end early", "median_stopping", MedianStopping),
        ]
        found["data"] = [
            Section("dataset.split: one fold of a cross-validation", "dataset.split", Folds),
            Section("dataset.splits: names of the splits", "dataset.splits", FolderSplits),
        ]
        homes = {key: name for name, page in PAGES.items() for key in page.keys}
        order = [key for page in PAGES.values() for key in page.keys]
        walked = sorted(
            _sections([(name, field.annotation) for name, field in Sections.model_fields.items()]),
            key=lambda section: order.index(first) if (first := section.path.partition(".")[0]) in order else -1,
        )
        for section in walked:
            home = homes.get(section.path.partition(".")[0])
            # Where a key stands on the same page, a heading of its name alone would have the anchor of the key.
            found[home or "study"].append(section if home else replace(section, title=f"{section.path}: its keys"))
        return found

    @cached_property
    def places(self) -> dict[Any, tuple[str, str]]:
        """Type of a section, or kind → its page and anchor."""
        specs = {s.spec: (name, slug(s.title)) for name, some in self.sections.items() for s in some}
        return specs | {kind: (name, slug(KINDS[kind].title)) for name, page in PAGES.items() for kind in page.kinds}

    def on(self, name: str) -> Iterator[tuple[str, str]]:
        """Title of each section of a page, and what it holds in one sentence."""
        kinds = [(KINDS[kind].title, KINDS[kind].about) for kind in PAGES[name].kinds]
        sections = [(section.title, _first_sentence(section.text)) for section in self.sections[name]]
        if name == "study":
            place = next(at for at, section in enumerate(self.sections[name]) if section.spec is Sample)
            sections.insert(place, (_SPACE, "What the values of an axis of a search are drawn from."))
        yield from (*kinds, *sections) if name == "data" else (*sections, *kinds)

    def page(self, name: str) -> Iterator[str]:
        """The text of a page, piece by piece."""
        page = PAGES[name]
        yield "<!-- made by workflow/scripts/document.py -->\n\n"
        yield f"# Keys: {page.title[0].lower() + page.title[1:]}\n\n"
        yield "[All keys](../../config/README.md), and how a study is written.\n\n"
        titles = [title for title, _ in self.on(name)]
        if len(titles) > 1:
            yield "On this page: " + ", ".join(f"[{title}](#{slug(title)})" for title in titles) + ".\n\n"
        parts = {section.title: self.section(section, name) for section in self.sections[name]}
        parts |= {KINDS[kind].title: self.kind(kind, name) for kind in page.kinds} | {_SPACE: _space()}
        for title in titles:
            yield f"## {title}\n\n"
            yield from parts[title]

    def section(self, section: Section, name: str) -> Iterator[str]:
        """The keys of a section as a table; those of another section that it repeats as a list."""
        yield section.text + "\n"
        fields = {key: _resolved(section.spec, key, field) for key, field in section.spec.model_fields.items()}
        base = next((one for one in section.spec.__mro__[1:] if one in self.places), None)
        same = [key for key, field in fields.items() if base and _same(field, base.model_fields.get(key))]
        yield from self.table(section.path, {key: field for key, field in fields.items() if key not in same}, name)
        if same:
            (above,) = [one for some in self.sections.values() for one in some if one.spec is base]
            links = (f"{_mark(section.path, key)}[`{key}`]({self.link(base, name, above.path, key)})" for key in same)
            yield f"All other keys are those of [{above.title}]({self.link(base, name)}), with the same defaults:\n"
            yield ",\n".join(links) + ".\n\n"

    def link(self, what: Any, name: str, *path: str) -> str:
        """The link from a page to a section, or to a key on the page of that section."""
        page, at = self.places[what]
        return f"{'' if page == name else f'{page}.md'}#{anchor(*path) or at}"

    def linked(self, name: str) -> Callable[[str, Any], str]:
        """What makes words a link from a page to the section of a type or kind, where it has one."""
        return lambda words, what: f"[{words}]({self.link(what, name)})" if what in self.places else words

    def table(self, path: str, fields: dict[str, FieldInfo], name: str) -> Iterator[str]:
        yield "| key | values | default | meaning |\n|---|---|---|---|\n"
        for key, field in fields.items():
            key = field.alias or key
            takes = values.of(field.annotation, field.metadata, self.linked(name))
            cells = f"{_mark(path, key)}`{key}`", takes, values.default(field), _cell(field.description or "")
            yield f"| {' | '.join(cells)} |\n"
        yield "\n"

    def kind(self, kind: str, name: str) -> Iterator[str]:
        """All that may be named of a kind."""
        about, prefix = KINDS[kind], kind if len(PAGES[name].kinds) > 1 else ""
        yield f"{about.about} Named by `{about.key}`, each by its name alone or as `{{name: …}}` with settings.\n\n"
        links = (f"[{entry}](#{anchor(prefix, entry)})" for entry in sorted(entries(kind)))
        yield ",\n".join(links) + ".\n\n"
        if kind == "table":
            yield f"Every table takes {_mark(kind, 'columns')}`columns` too, a list: {COLUMNS}.\n\n"
        for type_ in sorted(types_of(kind), key=lambda one: one.entry().name):
            yield from self.entry(type_, prefix, name)

    def entry(self, choice: type[Choice], prefix: str, name: str) -> Iterator[str]:
        entry: Entry = choice.entry()
        # A heading is its own anchor where nothing stands before its name.
        yield f"### {entry.name}{_mark(prefix, entry.name) if prefix else ''}\n\n"
        yield _paragraphs(entry.doc.partition("Args:\n")[0].strip()) + "\n"
        if entry.settings:
            fields = {key: choice.model_fields[key] for key in entry.settings}
            yield from self.table(anchor(prefix, entry.name), fields, name)
        if named := entry.facts.get("presets"):
            yield "| preset | settings |\n|---|---|\n"
            for preset, settings in named.items():
                yield f"| {_mark(prefix, preset)}`{preset}` | `{json.dumps(settings)}` |\n"
            yield "\n"


def _space() -> Iterator[str]:
    yield "A list of values, a mapping of labels to values, or one of:\n\n| distribution | draws |\n|---|---|\n"
    for name, about in DISTRIBUTIONS.items():
        yield f"| {_mark('space', name)}`{{{name}: [low, high]}}` | {about} |\n"
    yield "\n"


def _sections(level: list[tuple[str, Any]]) -> Iterator[Section]:
    """Every section at key paths and below them, each section once, where its path is shortest."""
    seen: set[type[Spec]] = set()
    while level:
        below = []
        for path, annotation in level:
            for section in _named_in(annotation):
                if section not in seen:
                    seen.add(section)
                    yield Section(path, path, section)
                    below += [(f"{path}.{name}", field.annotation) for name, field in section.model_fields.items()]
        level = below


def _named_in(annotation: Any) -> Iterator[type[Spec]]:
    """The sections that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, Spec) and not issubclass(annotation, Choice):
        yield annotation
    for inner in get_args(annotation):
        yield from _named_in(inner)


def _resolved(spec: type[BaseModel], key: str, field: FieldInfo) -> FieldInfo:
    """A field with its type, where the type is named before it is made."""
    if isinstance(field.annotation, ForwardRef):
        field = copy(field)
        field.annotation = get_type_hints(spec)[key]
    return field


def _same(field: FieldInfo, other: FieldInfo | None) -> bool:
    return other is not None and (field.default, field.description) == (other.default, other.description)


def _mark(*parts: str) -> str:
    return f'<a id="{anchor(*parts)}"></a>'


def _line(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")


def _cell(text: str) -> str:
    return _line(text).replace("|", r"\|")


def _paragraphs(text: str) -> str:
    return "".join(f"{_line(paragraph)}\n\n" for paragraph in text.split("\n\n"))[:-1]


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[\w)]\.) (?=[A-Z`{])|\n", text)[0]
