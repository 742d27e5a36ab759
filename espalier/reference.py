"""What is made from code and data for editors and readers: JSON schemas, and tables inside Markdown pages."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from espalier.plan.chain import Sections
from espalier.plan.config import Config
from espalier.plan.search_keys import Sample
from espalier.plan.study import Block, Condition, Study
from espalier.results.read import published_counts
from espalier.search.space import DISTRIBUTIONS
from espalier.settings.registry import ROOMS, Choice, Spec, entries


def schemas() -> dict[str, dict[str, Any]]:
    """File name → JSON schema of study files and of config/config.yaml."""
    study = Study.model_json_schema()
    config = Config.model_json_schema()
    # Every key of a study may stand in the configuration as an override, there with nothing required.
    config["properties"] |= dict.fromkeys(Study.model_fields, True)
    config["patternProperties"] = {rf"^({'|'.join(Study.model_fields)})\.": True}
    return {"study.schema.json": study, "config.schema.json": config}


def renewed(page: str, what: str, tables: str) -> str:
    """A Markdown page with `tables` between the marks of `what`."""
    start, end = f"<!-- {what}: made by workflow/scripts/document.py -->\n", f"<!-- end of {what} -->\n"
    before, _, rest = page.partition(start)
    after = rest.partition(end)[2]
    return f"{before}{start}\n{tables}{end}{after}"


def _tables() -> Iterator[str]:
    yield _table("config/config.yaml", Config)
    yield _table("A study", Study)
    yield _table("grid: one block", Block)
    yield _table("grid: one condition of `when`", Condition)
    yield "## space: one axis\n\n"
    yield "A list of values, a mapping of labels to values, or one of:\n\n"
    yield "".join(f"- `{{{name}: [low, high]}}`: {about}\n" for name, about in DISTRIBUTIONS.items()) + "\n"
    yield _table("sample", Sample)
    yield from _sections([(name, field.annotation) for name, field in Sections.model_fields.items()])
    for kind in ROOMS:
        yield f"## {kind}: what may be named\n\n"
        for entry in entries(kind).values():
            about = " ".join(entry.doc.partition("\n\n")[0].split())
            yield f"- **{entry.name}** – {about}\n"
            for key, (_, default, text) in entry.settings.items():
                given = "required" if default is ... else f"default `{_yaml(default)}`"
                yield f"  - `{key}`: {text} ({given})\n"
            for name, settings in entry.facts.get("presets", {}).items():
                yield f"  - preset **{name}**: `{json.dumps(settings)}`\n"
        yield "\n"


def _sections(level: list[tuple[str, Any]]) -> Iterator[str]:
    """A table of every section at key paths and below them, each section once, where its path is shortest."""
    seen: set[type[Spec]] = set()
    while level:
        below = []
        for path, annotation in level:
            for section in _named_in(annotation):
                if section not in seen:
                    seen.add(section)
                    yield _table(path, section)
                    below += [(f"{path}.{name}", field.annotation) for name, field in section.model_fields.items()]
        level = below


def _named_in(annotation: Any) -> Iterator[type[Spec]]:
    """The sections that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, Spec) and not issubclass(annotation, Choice):
        yield annotation
    for inner in get_args(annotation):
        yield from _named_in(inner)


def _table(title: str, spec: type[Spec]) -> str:
    lines = [f"## {title}\n\n", "| key | default | meaning |\n|---|---|---|\n"]
    for name, field in spec.model_fields.items():
        default = "required" if field.is_required() else f"`{_yaml(field.default)}`"
        about = " ".join((field.description or "").split()).replace("|", r"\|")
        lines.append(f"| `{field.alias or name}` | {default} | {about} |\n")
    return "".join([*lines, "\n"])


def _yaml(default: Any) -> str:
    if isinstance(default, Choice):
        settings = default.model_dump(mode="json", exclude_defaults=True)
        return settings["name"] if len(settings) == 1 else json.dumps(settings)
    if isinstance(default, Spec):
        return "the defaults below"
    if isinstance(default, tuple) and default and all(isinstance(one, Choice) for one in default):
        return f"[{', '.join(map(_yaml, default))}]"
    return json.dumps(default) if not isinstance(default, str) or not default else default


def made(root: Path) -> Iterator[tuple[Path, str]]:
    """Every made file with its text: the schemas, the README of the configuration and the page of the zoo."""
    for name, schema in schemas().items():
        yield root / "workflow/schemas" / name, json.dumps(schema, indent=1) + "\n"
    readme, zoo = root / "config/README.md", root / "docs/zoo.md"
    yield readme, renewed(readme.read_text(), "keys", "".join(_tables()))
    counts = published_counts.document(published_counts.read(root / published_counts.FILE))
    yield zoo, renewed(renewed(zoo.read_text(), "novelty", _novelty()), "counts", counts)


def _novelty() -> str:
    """What makes families small (fact `novelty`), and which of them share it; those of the most families first."""
    sharing: dict[str, list[str]] = {}
    for name, entry in entries("model").items():
        for attribute in entry.facts.get("novelty", ()):
            sharing.setdefault(attribute, []).append(f"`{name}`")
    rows = sorted(sharing.items(), key=lambda row: -len(row[1]))
    lines = [f"| {attribute} | {len(names)} | {', '.join(names)} |\n" for attribute, names in rows]
    return "".join(["| what makes it small | families | which |\n|---|--:|---|\n", *lines, "\n"])
