"""Schemas, config/README.md and the code say the same."""

from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML
from test_bad_studies import CASES, GOOD

from espalier.reference import made, schemas

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
