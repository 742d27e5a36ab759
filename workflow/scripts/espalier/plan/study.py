"""A study file: its shape, its text with line numbers, and the overrides laid over it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from espalier.plan.keys import flat, merged
from espalier.plan.problems import Problem, StudyError, describe, unknown, written
from espalier.plan.settings import value
from espalier.plan.spec import STAGES, Training
from espalier.plan.types import AlsoWritten, Count, Natural
from espalier.registry import Spec, choice

Point = dict[str, Any]
Values = Annotated[dict[str, Any], Field(min_length=1)]


def _listed(found: Any) -> Any:
    return [found] if isinstance(found, Mapping) else found


def _labelled(found: Any) -> Any:
    """A list of values as label → value; the label of a bare value is made from it later."""
    if isinstance(found, list):
        return {f"\0{index}": item for index, item in enumerate(found)}
    return found


Axis = Annotated[Values, BeforeValidator(_labelled), AlsoWritten("list")]
Axes = dict[str, Axis]


class Condition(Spec):
    """Points that match `if` are kept only when they also match `then`."""

    if_: Point = Field(alias="if")
    """key path → value, label or list of them"""
    then: Point
    """key path → value, label or list of them"""


class Block(Spec):
    """A part of the grid: product × zip × points, less what `exclude` and `when` take away."""

    product: Axes = Field({})
    """axis (key path) → values; every combination. Values are a list, or a mapping of labels to values"""
    zip: Axes = Field({})
    """axes of equal length that vary together"""
    points: Annotated[tuple[Point, ...], Strict(False)] = ()
    """explicit list: each item sets some key paths"""
    exclude: Annotated[tuple[Point, ...], Strict(False)] = ()
    """points that match all key paths of an item are left out"""
    when: Annotated[tuple[Condition, ...], Strict(False)] = ()
    """conditions, e.g. batch size 64 only for adam"""


class Study(Spec):
    """One question: data, defaults, the grid around them, and the tables and figures wanted."""

    title: str
    """one line, the heading of the report"""
    description: str = ""
    """what is asked and why, a paragraph"""
    dataset: choice("dataset") | None = None
    """data set, by name or with its settings"""
    model: choice("model") | None = None
    """network, by name or with its settings"""
    augment: Annotated[tuple[choice("augmentation"), ...], Strict(False)] = ()
    """augmentations of the training images, in order"""
    train: Training = Training()
    """how the networks are trained"""
    stages: Annotated[tuple[Literal["train", "evaluate"], ...], Strict(False)] = ("train", "evaluate")
    """stages to run; the data set is always prepared"""
    repeats: Count = 1
    """runs of each configuration, with seeds `seed`, `seed` + 1, …"""
    seed: Natural = 0
    """seed of the first repeat"""
    grid: Annotated[tuple[Block, ...], Strict(False), BeforeValidator(_listed), AlsoWritten("item")] = ()
    """blocks whose points are joined; a point that stands in two blocks is run once"""
    constraints: Annotated[tuple[str, ...], Strict(False)] = ()
    """budgets that every point must meet: `params < 5e6`, `macs <= 1e9`, or any numeric key path"""
    tables: Annotated[tuple[choice("table"), ...], Strict(False)] = ()
    """tables wanted, by name or with their settings"""
    figures: Annotated[tuple[choice("figure"), ...], Strict(False)] = ()
    """figures wanted, by name or with their settings"""


SECTIONS = tuple(
    key for key in Study.model_fields if key != "seed" and any(key in stage.model_fields for stage in STAGES.values())
)
"""Study keys that stages read and axes may change; the seed belongs to the repeats."""


class Source:
    """The plain content of a study file after overrides, and where each key was written."""

    def __init__(self, path: Path, overrides: Mapping[str, Any]):
        self.path = path
        self._marks = _read(path)
        self.data = merged(_plain(self._marks), overrides)
        self._overridden = [key.split(".") for key, _ in flat(overrides)]

    def place(self, keys: tuple) -> str:
        """``file:line`` of the key, of its nearest parent when it is missing, or ``--config``."""
        keys = _in_file(keys, self.data)
        strings = [str(key) for key in keys]
        if any(strings[: len(over)] == over for over in self._overridden):
            return "--config"
        node, line = self._marks, 0
        for key in keys:
            try:
                line = (node.lc.key(key) if isinstance(node, CommentedMap) else node.lc.item(key))[0]
                node = node[key]
            except (KeyError, IndexError, TypeError, AttributeError):
                break
        return f"{self.path}:{line + 1}"


def _read(path: Path) -> CommentedMap:
    try:
        tree = YAML(typ="rt", pure=True).load(path.read_text())
    except OSError as error:
        raise StudyError([Problem("", f"cannot be read: {error.strerror}", str(path))]) from error
    except (YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None) if isinstance(error, MarkedYAMLError) else None
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        text = (getattr(error, "problem", None) or str(error)).splitlines()[0]
        raise StudyError([Problem("", f"not valid YAML: {text}", place)]) from error
    if not isinstance(tree, CommentedMap):
        raise StudyError([Problem("", "a study is a mapping of keys to values", f"{path}:1")])
    return tree


def _plain(node: Any) -> Any:
    if isinstance(node, CommentedMap):
        return {str(key): _plain(inner) for key, inner in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(inner) for inner in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def retyped(found: Any) -> Any:
    """Overrides as YAML values: Snakemake hands every nested value of ``--config`` over as a text."""
    if isinstance(found, Mapping):
        return {str(key): retyped(inner) for key, inner in found.items()}
    if isinstance(found, list):
        return [retyped(inner) for inner in found]
    return value(found) if isinstance(found, str) else found


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> tuple[Study, Source, list[Problem]]:
    """Read a study file and check its shape; the points of its grid are checked when they are made.

    A study with mistakes comes back without the keys that hold them.

    Raises:
        StudyError: the file cannot be read at all.
    """
    source = Source(path, retyped(overrides or {}))
    problems = []
    try:
        return Study.model_validate(source.data), source, []
    except ValidationError as error:
        for e in error.errors():
            problems.append(Problem(*describe(e, Study), source.place(written(e["loc"], Study))))
        wrong = [e["loc"] for e in error.errors()]
    # What is left still makes a grid, so that its mistakes are reported in the same breath.
    return Study.model_validate({"title": "", **_without(source.data, wrong)}), source, problems


def _without(data: Mapping[str, Any], wrong: list[tuple]) -> dict[str, Any]:
    """The study less its wrong keys; a wrong block of the grid is emptied, so that the rest keep their index."""
    rest = {key: found for key, found in data.items() if key not in {loc[0] for loc in wrong}}
    blocks = {loc[1] for loc in wrong if loc[0] == "grid" and len(loc) > 1}
    if blocks and "grid" not in {loc[0] for loc in wrong if len(loc) == 1}:
        rest["grid"] = [{} if index in blocks else block for index, block in enumerate(_listed(data["grid"]))]
    return rest


def _in_file(keys: tuple, data: Any) -> tuple:
    """Undo what validators do to the shape: a single grid block, a list of axis values."""
    found = []
    for key in keys:
        if isinstance(data, Mapping) and isinstance(key, int) and key not in data:
            continue
        if isinstance(key, str) and key.startswith("\0"):
            key = int(key[1:])
        found.append(key)
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            data = None
    return tuple(found)


def find(name: str, folder: Path) -> Path:
    """The file of a study, named by its file name in `folder` or by a path.

    Raises:
        StudyError: there is none; the message names the nearest.
    """
    if name.endswith((".yaml", ".yml")):
        # The name becomes a folder and a word of command lines.
        if not re.fullmatch(r"[\w.-]+", Path(name).stem):
            message = f"{Path(name).stem!r} is no name for a study: use letters, digits, dots, - and _"
            raise StudyError([Problem("studies", message, name)])
        return Path(name)
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if name not in known:
        raise StudyError([Problem("studies", unknown("study", name, known))])
    return known[name]
