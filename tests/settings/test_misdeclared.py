"""Whatever a function registers otherwise than the plan can read is named with its line and its mend."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from espalier.errors import Mistake
from espalier.settings import registry
from espalier.settings.declared import declared
from espalier.settings.misdeclared import GIVEN, TAKEN
from espalier.settings.registry import ROOMS, Choice

IMPORT = "from espalier.settings.registry import register\n\n\n"
BODY = '\n    """A network."""\n'
GOOD = '@register("model")\ndef net(num_classes, image_size, *, width: Count = 4):' + BODY

WRONG = {
    "no call": (IMPORT + "@register\ndef net(num_classes, image_size):" + BODY, 4, "@register names no kind; write"),
    "registry": (
        'from espalier.settings import registry\n\n\n@registry.register("model")\ndef net(a, b):' + BODY,
        4,
        "write @register(…), after `from espalier.settings.registry import register`, not @registry.register",
    ),
    "alias": (
        'import espalier.settings.registry as known\n\n\n@known.register("model")\ndef net(a, b):' + BODY,
        4,
        "not @known.register",
    ),
    "renamed": (
        'from espalier.settings.registry import register as mark\n\n\n@mark("model")\ndef net(a, b):' + BODY,
        4,
        "not @mark",
    ),
    "class": (
        IMPORT + '@register("model")\nclass Net:' + BODY,
        5,
        "Net is a class; register a function that makes one",
    ),
    "async": (IMPORT + '@register("model")\nasync def net(a, b):' + BODY, 5, "net is async; write it with def alone"),
    "inside": (
        IMPORT + 'if True:\n    @register("model")\n    def net(a, b):\n        """A network."""\n',
        6,
        "net stands inside something else; move it to the outermost level",
    ),
    "by hand": (
        IMPORT + 'def net(a, b):\n    """A network."""\n\n\nnet = register("model")(net)\n',
        8,
        "register marks functions alone; write @register(…) above one",
    ),
    "no kind": (IMPORT + GOOD.replace('"model"', ""), 4, "the kind stands first, as a text, and alone"),
    "kind by name": (IMPORT + GOOD.replace('"model"', 'kind="model"'), 4, "the kind stands first, as a text"),
    "kind as a variable": (IMPORT + GOOD.replace('"model"', "MODEL"), 4, "the kind stands first, as a text"),
    "unknown kind": (
        IMPORT + GOOD.replace("model", "modle"),
        4,
        "there is no kind 'modle' (did you mean model?); the kinds are dataset, model,",
    ),
    "facts in a mapping": (
        IMPORT + GOOD.replace('"model"', '"model", **FACTS'),
        4,
        "write out each fact, as fact=value, in place of **FACTS",
    ),
    "a fact that is computed": (
        IMPORT + GOOD.replace('"model"', '"model", smallest=SIZE'),
        4,
        "SIZE must be a literal",
    ),
    "a default that is computed": (IMPORT + GOOD.replace("= 4", "= 2 * WIDTH"), 5, "2 * WIDTH must be a literal"),
    "positional": (
        IMPORT + GOOD.replace("*, ", ""),
        5,
        "a model is given num_classes, image_size, so width is a setting and must be keyword-only; write `*, `",
    ),
    "too few": (
        IMPORT + GOOD.replace("num_classes, image_size, ", ""),
        5,
        "a model is given num_classes, image_size; net must take that first",
    ),
    "args": (IMPORT + GOOD.replace("*, width", "*args, width"), 5, "net takes *args; write out each setting"),
    "kwargs": (IMPORT + GOOD.replace("= 4", "= 4, **more"), 5, "net takes **more; write out each setting"),
    "no type": (
        IMPORT + GOOD.replace(": Count", ""),
        5,
        "the setting width has no type; write one, as in width: Count",
    ),
    "unknown type": (
        IMPORT + GOOD.replace("Count", "Countt"),
        5,
        "width: Countt is no type of settings (did you mean Count?); use those of espalier/settings/types.py",
    ),
    "unknown type within": (
        IMPORT + GOOD.replace("Count", "tuple[Path, ...]"),
        5,
        "width: Path is no type of settings",
    ),
    "type of a module": (IMPORT + GOOD.replace("Count", "types.Count"), 5, "width: types.Count is no type of settings"),
    "type as text": (
        IMPORT + GOOD.replace("Count", '"Count"'),
        5,
        "the type of width must stand there without quotation",
    ),
    "taken name": (IMPORT + GOOD.replace("width", "name"), 5, "a setting cannot be called name; give it another name"),
    "taken by pydantic": (IMPORT + GOOD.replace("width", "copy"), 5, "a setting cannot be called copy"),
    "one caption of two": (
        IMPORT
        + "".join(f'@register("table")\ndef {name}(frame, study):{BODY}\n\n' for name in ("one", "two"))
        + 'def caption(study):\n    """A caption."""\n',
        14,
        "of which is this the caption, one, two? give each a file of its own",
    ),
    "no Python": (IMPORT + "def net(:\n", 4, "this is no Python: invalid syntax"),
}


def read(folder, text):
    (folder / "mine.py").write_text(text)
    return declared(folder / "mine.py", "mine")


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_its_line(case, tmp_path):
    text, line, message = WRONG[case]
    with pytest.raises(Mistake, match=rf"mine\.py:{line}: .*{re.escape(message)}"):
        read(tmp_path, text)


def test_everything_wrong_is_told_at_once(tmp_path):
    wrong = GOOD.replace("Count = 4", "Countt = four") + '\n\n@register("modle")\ndef other(a, b):' + BODY
    with pytest.raises(Mistake) as told:
        read(tmp_path, IMPORT + wrong)
    assert [line.partition("mine.py:")[2].partition(":")[0] for line in str(told.value).splitlines()] == ["5", "5", "9"]


def test_what_is_right_is_read(tmp_path):
    text = IMPORT + "@lru_cache\n" + GOOD.replace("Count = 4", 'Literal["a", "b"] | None = None, depth: Count')
    (entry,) = read(tmp_path, text)
    assert entry.settings == {"width": ("Literal['a', 'b'] | None", None, ""), "depth": ("Count", ..., "")}
    assert (entry.name, entry.line, entry.doc) == ("net", 6, "A network.")


def test_a_function_in_the_room_of_another_kind_is_refused(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(IMPORT + '@register("table")\ndef mine(frame, study):' + BODY)
    monkeypatch.setattr(registry, "_ROOT", tmp_path)
    monkeypatch.setitem(ROOMS, "model", ".")
    with pytest.raises(Mistake, match=r"mine\.py:5: a table is looked for in .*results/tables alone; move it there"):
        registry.entries.__wrapped__("model")


def test_the_whole_library_can_be_read():
    registry.check()
    assert GIVEN.keys() == ROOMS.keys()


def test_no_function_is_registered_where_none_is_looked_for():
    library = Path(registry.__file__).parents[1]
    marked = {path for path in library.rglob("*.py") if re.search(r"^@register\(", path.read_text(), re.MULTILINE)}
    places = {library / place for place in ROOMS.values()}
    assert marked and not [path for path in marked if not {path, path.parent} & places]


def test_all_that_a_choice_has_beside_its_settings_is_taken():
    own = {name for name in dir(Choice) if not name.startswith("_")} - set(dir(BaseModel))
    assert own | {"name", "plugin", "columns"} == set(TAKEN)
