import inspect
import itertools

import pytest
from pydantic import TypeAdapter

from espalier.errors import Mistake
from espalier.settings import registry
from espalier.settings.registry import ROOMS, entries

ENTRIES = list(itertools.chain.from_iterable(entries(kind).values() for kind in ROOMS))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_what_the_source_says_is_what_the_function_takes(entry):
    keywords = {
        name: parameter.default
        for name, parameter in inspect.signature(entry.load()).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    read = {
        key: inspect.Parameter.empty if default is ... else default for key, (_, default, _) in entry.settings.items()
    }
    assert read == keywords


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_every_entry_and_every_setting_is_described(entry):
    assert entry.doc, f"{entry.name} has no docstring"
    undescribed = [key for key, (_, _, about) in entry.settings.items() if not about]
    assert not undescribed, f"{entry.kind} {entry.name}: write an Args: line for {undescribed}"


def test_two_entries_of_one_name_are_refused(tmp_path, monkeypatch):
    for file in ("a.py", "b.py"):
        (tmp_path / file).write_text('@register("model")\ndef twin(classes, size):\n    """A model."""\n')
    monkeypatch.setattr(registry, "_ROOT", tmp_path)
    monkeypatch.setitem(ROOMS, "model", ".")
    with pytest.raises(Mistake, match=r"b\.py:2: the model 'twin' exists already, .*a\.py:2; rename one"):
        registry.entries.__wrapped__("model")


@pytest.mark.parametrize("text", ["size=min(8, 4)", "presets={}, smallest=len('ab')"])
def test_what_is_no_literal_is_named_with_its_place(text, tmp_path, monkeypatch):
    (tmp_path / "tiny.py").write_text(f'\n@register("model", {text})\ndef tiny(classes, size):\n    """A model."""\n')
    monkeypatch.setattr(registry, "_ROOT", tmp_path)
    monkeypatch.setitem(ROOMS, "model", ".")
    with pytest.raises(Mistake, match=r"tiny\.py:2: (min|len)\(.*\) must be a literal"):
        registry.entries.__wrapped__("model")


def test_what_no_dictionary_can_hold_is_named_with_its_place(tmp_path, monkeypatch):
    (tmp_path / "tiny.py").write_text(
        '\n@register("model", presets={[8]: 1})\ndef tiny(classes, size):\n    """A model."""\n'
    )
    monkeypatch.setattr(registry, "_ROOT", tmp_path)
    monkeypatch.setitem(ROOMS, "model", ".")
    with pytest.raises(Mistake, match=r"tiny\.py:2: \{\[8\]: 1\} must be a literal"):
        registry.entries.__wrapped__("model")


def test_a_new_file_is_a_new_entry(tmp_path, monkeypatch):
    (tmp_path / "tiny.py").write_text(
        '@register("model", smallest=8)\ndef tiny(classes, size, *, width: Count = 4):\n'
        '    """A model.\n\n    Args:\n        width: channels of\n            every layer\n    """\n'
    )
    monkeypatch.setattr(registry, "_ROOT", tmp_path)
    monkeypatch.setitem(ROOMS, "model", ".")
    entry = registry.entries.__wrapped__("model")["tiny"]
    assert entry.settings == {"width": ("Count", 4, "channels of every layer")}
    assert entry.facts == {"smallest": 8}


def test_a_preset_is_the_settings_it_stands_for(tmp_path, monkeypatch):
    (tmp_path / "tiny.py").write_text(
        '@register("model", presets={"tiny_wide": {"width": 9}})\n'
        'def tiny(classes, size, *, width: Count = 4, depth: Count = 1):\n    """A model."""\n'
    )
    monkeypatch.setattr(registry, "_ROOT", tmp_path)
    monkeypatch.setitem(ROOMS, "model", ".")
    for cached in (registry.entries, registry.presets, registry.types_of):
        monkeypatch.setattr(registry, cached.__name__, cached.__wrapped__)
    read = TypeAdapter(registry.choice("model")).validate_python
    one = read("tiny_wide")
    assert (one.name, one.width, one.depth) == ("tiny", 9, 1)
    assert read({"name": "tiny_wide", "depth": 2}).settings() == {"width": 9, "depth": 2}
    assert read({"name": "tiny_wide", "width": 5}).width == 5


def test_a_preset_may_not_hide_an_entry(tmp_path, monkeypatch):
    (tmp_path / "tiny.py").write_text(
        '@register("model", presets={"tiny": {}})\ndef tiny(classes, size):\n    """A model."""\n'
    )
    monkeypatch.setattr(registry, "_ROOT", tmp_path)
    monkeypatch.setitem(ROOMS, "model", ".")
    monkeypatch.setattr(registry, "entries", registry.entries.__wrapped__)
    with pytest.raises(Mistake, match=r"tiny\.py:2: the model 'tiny' exists already"):
        registry.presets.__wrapped__("model")


def test_an_unknown_registry_is_refused():
    with pytest.raises(ValueError, match="no registry 'modle'"):
        registry.register("modle")
