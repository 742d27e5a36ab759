"""A user's own files join the registries, and an edited one is another one."""

import pytest
from pydantic import TypeAdapter, ValidationError

from espalier.errors import Mistake
from espalier.plan.grid import label
from espalier.settings import plugins, registry

MODEL = (
    "from espalier.settings.registry import register\n"
    "from espalier.settings.types import Count\n\n\n"
    '@register("model", presets={"wide": {"width": 9}})\n'
    'def mine(num_classes, image_size, *, width: Count = 4):\n    """A network."""\n    return width\n'
)


@pytest.fixture
def plugged(tmp_path, monkeypatch):
    """Names files with these texts, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    for cached in (registry.entries, registry.presets, registry.types_of):
        monkeypatch.setattr(registry, cached.__name__, cached.__wrapped__)

    def named(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.setenv(plugins.VARIABLE, "")
        plugins.use([f"{name}.py" for name in texts])
        plugins.sha256.cache_clear()
        registry.declared.cache_clear()

    yield named
    # Made of types that are gone.
    registry.preset_names.cache_clear()


def read(kind="model"):
    return TypeAdapter(registry.choice(kind)).validate_python


def test_an_entry_of_a_plugin_is_chosen_by_name_as_any_other(plugged):
    plugged(models=MODEL)
    registry.preset_names.cache_clear()
    one = read()({"name": "wide"})
    assert one.settings() == {"width": 9} and one.build(10, 8) == 9
    assert label(one) == "mine width=9", "the version of the file is no setting"
    assert {"mine", "lenet"} < set(registry.entries("model"))


def test_an_edited_file_makes_other_runs(plugged):
    plugged(models=MODEL)
    before = read()("mine").model_dump(exclude_defaults=True)
    plugged(models=MODEL + "\n")
    after = read()("mine").model_dump(exclude_defaults=True)
    assert before["plugin"].startswith("sha256-") and before["plugin"] != after["plugin"]
    assert before | {"plugin": ""} == after | {"plugin": ""} == {"name": "mine", "plugin": ""}
    with pytest.raises(ValidationError, match=rf"the plugin models\.py is {after['plugin']} now and was"):
        read()(before)


def test_settings_of_a_plugin_that_is_not_named_say_so(plugged):
    plugged(models=MODEL)
    asked = read()("mine").model_dump()
    plugged()
    with pytest.raises(ValidationError, match="'mine' is of a plugin that is not named; set ESPALIER_PLUGINS"):
        read()(asked)


def test_several_kinds_stand_in_one_file(plugged):
    table = '\n\n@register("table")\ndef rows(frame, study):\n    """All rows."""\n    return frame\n'
    plugged(mine=MODEL + table)
    assert registry.entries("table")["rows"].load()(1, {}) == 1
    assert registry.entries("table")["rows"].imported() is registry.entries("model")["mine"].imported()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            {"lenet": MODEL.replace("def mine", "def lenet")},
            r"lenet\.py:6: the model 'lenet' exists already, .*lenet\.py:",
        ),
        ({"a": MODEL, "b": MODEL}, r"b\.py:6: the model 'mine' exists already, a\.py:6; rename one"),
        ({"a": MODEL.replace('"wide"', '"lenet"')}, r"a\.py:6: the model 'lenet' exists already"),
        ({"a": '"""Nothing."""\n'}, r"a\.py: registers nothing; mark a function with @register"),
        ({"a": MODEL.replace(": Count", "")}, r"a\.py:6: the setting width has no type"),
    ],
)
def test_a_plugin_that_cannot_join_is_told(texts, message, plugged):
    plugged(**texts)
    with pytest.raises(Mistake, match=message) as told:
        registry.check()
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["missing.py"], r"plugins: there is no file missing\.py in .*; name it as it is found from there"),
        ("a.txt", r"plugins: a\.txt is no file of Python; name one that ends in \.py"),
        (None, r"plugins: found None, expected a list of files, such as \[my_models\.py\]"),
        ([1], r"plugins: found \[1\], expected a list of files"),
    ],
)
def test_what_is_no_list_of_files_is_told(given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(plugins.VARIABLE, "")
    with pytest.raises(Mistake, match=message):
        plugins.use(given)
        list(plugins.files())


def test_a_file_that_changes_under_a_process_is_not_used(plugged, tmp_path):
    plugged(changing=MODEL)
    entry = registry.entries("model")["mine"]
    assert entry.version
    (tmp_path / "changing.py").write_text(MODEL + "\n")
    with pytest.raises(Mistake, match=r"changing\.py: was changed while it was read; start again"):
        entry.load()
