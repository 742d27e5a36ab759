"""Schemas, the pages of keys and the code say the same, and every link to a part of a page leads there."""

import re
from collections import Counter
from pathlib import Path
from typing import get_args, get_type_hints

import jsonschema
import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML
from test_bad_studies import CASES, GOOD

from espalier.plan.config import Config
from espalier.plan.study import Study
from espalier.reference import made, schemas
from espalier.reference.keys import FOLDER, slug
from espalier.search.space import DISTRIBUTIONS
from espalier.settings.registry import ROOMS, Choice, entries, presets

ROOT = Path(__file__).parents[2]
MADE = dict(made(ROOT))
SHAPE = [
    "unknown key",
    "wrong type",
    "too small",
    "number as text",
    "fraction for a count",
    "yes is no truth value",
    "unknown optimizer",
    "unknown setting",
    "setting out of range",
    "unknown augmentation",
    "augmentation without a list",
    "incomplete section",
    "unknown choice",
    "unknown stage",
    "empty axis",
    "unknown table",
    "distribution without bounds",
    "one bound",
    "distribution with a step",
    "single value in a space",
    "unknown method",
]


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.name)
def test_made_files_are_up_to_date(path):
    assert path.read_text() == MADE[path], "run: python workflow/scripts/document.py"


def test_no_page_of_keys_is_left_from_before():
    assert {path for path in MADE if path.parent == ROOT / FOLDER} == {*(ROOT / FOLDER).iterdir()}


def declared():
    """The anchors of all keys and of all that may be named, told from the code alone."""
    yield from (*Config.model_fields, "table-columns", *(f"space-{name}" for name in DISTRIBUTIONS))
    for kind in ROOMS:
        before = "" if kind == "model" else f"{kind}-"
        yield from (before + preset for preset in presets(kind))
        for name, entry in entries(kind).items():
            yield from (before + name, *(f"{before}{name}-{key}" for key in entry.settings))
    seen, level = {Study}, [("", Study)]
    while level:
        below = []
        for path, model in level:
            for name, type_ in get_type_hints(model, include_extras=True).items():
                if name not in model.model_fields:
                    continue
                key = path + (model.model_fields[name].alias or name)
                if not issubclass(model, Choice):
                    yield key
                found = [one for one in models(type_) if one not in seen]
                seen |= {*found}
                # A setting of what may be named stands under the key that names it.
                below += [(f"{path if issubclass(model, Choice) and not found else key}-", one) for one in found]
        level = below


def models(type_):
    """The sections that a type is made of."""
    if isinstance(type_, type) and issubclass(type_, BaseModel):
        yield type_
    for inner in get_args(type_):
        yield from models(inner)


def headings(text):
    """The anchors that a code host gives the headings of a page."""
    count = Counter()
    for title in re.findall(r"^#+ (.+)$", re.sub(r"^ *```.*?^ *```", "", text, flags=re.S | re.M), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|<[^>]*>", r"\1", title)
        found = slug(plain)
        yield f"{found}-{count[found]}" if count[found] else found
        count[found] += 1


def marks(text):
    return re.findall(r'<a id="([^"]+)">', text)


def test_every_key_and_name_has_one_anchor():
    texts = {path.stem: text for path, text in MADE.items() if path.parent == ROOT / FOLDER}
    # Networks are headings of the page, which are anchors themselves.
    found = Counter(anchor for text in texts.values() for anchor in marks(text))
    found += Counter(re.findall(r"^### (\w+)$", texts["models"], re.M))
    assert found == Counter(declared())


@pytest.mark.parametrize("path", [path for path in MADE if path.parent == ROOT / FOLDER], ids=lambda path: path.stem)
def test_no_anchor_stands_for_two_things(path):
    assert not {*marks(MADE[path])} & {*headings(MADE[path])}


def test_links_to_parts_of_pages_lead_there():
    kept = ["*.md", ".github/*.md", "benchmarks/**/*.md", "config/**/*.md", "decoder/**/*.md", "docs/**/*.md"]
    pages = {path: path.read_text() for pattern in kept for path in ROOT.glob(pattern)}
    anchors = {path: {*headings(text), *marks(text)} for path, text in pages.items()}
    links = [(path, *link) for path, text in pages.items() for link in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text)]
    lost = [
        f"{path.relative_to(ROOT)}: {target}#{anchor}"
        for path, target, anchor in links
        if anchor not in anchors.get((path.parent / target).resolve() if target else path, ())
    ]
    assert len(links) > 100 and not lost


def errors(text):
    return list(jsonschema.Draft202012Validator(schemas()["study.schema.json"]).iter_errors(plain(text)))


def plain(text):
    return YAML(typ="safe", pure=True).load(text)


@pytest.mark.parametrize("path", sorted((ROOT / "config/studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_studies_fit_the_schema(path):
    assert errors(path.read_text()) == []


@pytest.mark.parametrize("name", SHAPE)
def test_an_editor_sees_every_mistake_of_shape(name):
    assert errors(GOOD + CASES[name][0])


def test_the_example_of_the_readme_is_a_study():
    example = (ROOT / "config/README.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    assert errors(example) == []


@pytest.mark.parametrize("model", ["resnet44_5m", "{name: resnet44_5m, dropout: 0.1}", "{name: resnet, dropout: 0.1}"])
def test_a_preset_stands_for_a_name(model):
    assert errors(GOOD.replace("model: resnet", f"model: {model}")) == []


def test_a_name_that_is_none_is_seen_in_a_mapping():
    assert errors(GOOD.replace("model: resnet", "model: {name: resnet44_6m, dropout: 0.1}"))
