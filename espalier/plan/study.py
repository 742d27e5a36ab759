"""What a study may say: its shape, and the check of a file against it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict, ValidationError

from espalier.plan import teachers
from espalier.plan.chain import Sections
from espalier.plan.search_keys import Halving, MedianStopping, Sample
from espalier.plan.study_file import Source, retyped
from espalier.search.space import Space
from espalier.settings.problems import Problem, StudyError, describe, written
from espalier.settings.registry import Spec, choice
from espalier.settings.types import AlsoWritten, Bins, Count, Natural
from espalier.stages import STAGES

_RUN = tuple(stage.name for stage in STAGES.values() if stage.reads != "source")

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


class Select(Spec):
    """What a block starts from: the best configurations of the blocks before it, or of another study. They are chosen
    on validation alone, after all runs that they are chosen from have ended."""

    study: str | None = None
    """name of another study, whose best values on its axes are taken; null for the blocks before this one"""
    best: Count = 1
    """how many of the best; each is run with every point of the block"""
    by: Literal["validation_top1", "validation_balanced_top1", "validation_loss"] = "validation_top1"
    """what the best are chosen by: a mean over seeds, at the end of their chains"""


class Block(Spec):
    """A part of the grid: product × zip × points, less what `exclude` and `when` take away."""

    select: Select | None = None
    """what the block starts from; null for the study's own settings"""

    product: Axes = Field({})
    """axis (key path) → values; every combination. Values are a list, or a mapping of labels to values"""
    zip: Axes = Field({})
    """axes of equal length that vary together"""
    points: Annotated[tuple[Point, ...], Strict(False)] = ()
    """points listed one by one; each item is a mapping of key paths to values"""
    exclude: Annotated[tuple[Point, ...], Strict(False)] = ()
    """points that match all key paths of an item are left out"""
    when: Annotated[tuple[Condition, ...], Strict(False)] = ()
    """conditions that points must meet, e.g. batch size 64 only with adam"""


class Heading(Spec):
    """What a study is called, and what it asks."""

    title: str
    """one line, the heading of the study's page"""
    description: str = ""
    """what the study asks and why, a paragraph"""


class Study(Sections, Heading):
    """One question: data, defaults, the grid around them, and the tables and figures wanted."""

    dataset: choice("dataset") | None = None
    """data set, by name or with its settings"""
    model: choice("model") | None = None
    """network, by name or with its settings"""
    stages: Annotated[tuple[Literal[_RUN], ...], Strict(False)] = _RUN
    """stages to run; one whose section is null is left out in any case. The data set is always prepared"""
    repeats: Count = 1
    """runs of each configuration, with seeds `seed`, `seed` + 1, …"""
    folds: Bins | None = None
    """number of parts of a stratified cross-validation: each repeat of a configuration is run once for each part,
    which is then its test split, with a seed of its own; null for the splits of the data set"""
    seed: Natural = 0
    """seed of the first repeat"""
    scale: Literal["full", "smoke"] = "full"
    """smoke runs the same plan in minutes, with one epoch on a few embedded images: it shows that the study works; its
    numbers are no results"""
    smoke: Point = Field({})
    """key path → value, set under scale smoke beside what it changes by itself; left out where a point has no such
    key"""
    compare: Annotated[tuple[str, ...], Strict(False)] = ()
    """names of other studies of the same data, which are shown side by side; this study then has no runs of its own"""
    halving: Halving | None = None
    """drop the worse configurations after some epochs; null trains all of them to their end"""
    median_stopping: MedianStopping | None = None
    """end trainings that are worse than most earlier ones were at the same epoch; null trains all of them to their
    end"""
    grid: Annotated[tuple[Block, ...], Strict(False), BeforeValidator(_listed), AlsoWritten("item")] = ()
    """the points to run: one block, or several whose points are joined; a point that stands in two blocks is run
    once"""
    space: Space = Field({})
    """axis (key path) → what its values are drawn from: a distribution of numbers, or a list or mapping of values; each
    point that is drawn is run with every point of the grid"""
    sample: Sample | None = None
    """how many points of `space` are drawn, and how; without `space`, a part of the grid"""
    constraints: Annotated[tuple[str, ...], Strict(False)] = ()
    """budgets that every point must meet: `params < 5e6`, `macs <= 1e9`, or any numeric key path"""
    tables: Annotated[tuple[choice("table"), ...], Strict(False)] = ()
    """tables to make, by name or with their settings"""
    figures: Annotated[tuple[choice("figure"), ...], Strict(False)] = ()
    """figures to make, by name or with their settings"""

    @property
    def times(self) -> int:
        """Runs of each configuration."""
        return self.repeats * (self.folds or 1)


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""All but tabs and ends of lines, and what turns the direction of writing."""

SECTIONS = tuple(key for key in Study.model_fields if key in Sections.model_fields and key != "seed")
"""Study keys that stages read and axes may change; the seed belongs to the repeats."""


Loaded = tuple[Study, Source, list[Problem]]
"""A study as far as its file can be read, the file, and what is wrong in its shape."""


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> Loaded:
    """Read a study file and check its shape; the points of its grid are checked when they are made.

    A study with mistakes comes back without the keys that hold them.

    Raises:
        StudyError: the file cannot be read at all.
    """
    try:
        source = Source(path, retyped(overrides or {}))
    except ValueError as error:
        raise StudyError([Problem("", str(error), "--config")]) from error
    problems = [
        Problem(".".join(map(str, keys)), f"{text!r} holds a control character; remove it", source.place(keys))
        for keys, text in _unprintable(source.data)
    ]
    try:
        return Study.model_validate(source.data), source, problems
    except ValidationError as error:
        for e in teachers.without_repeats(error.errors()):
            problems.append(Problem(*describe(e, Study), source.place(written(e["loc"], Study))))
        wrong = [e["loc"] for e in error.errors()]
    # The rest of the study still makes a grid, whose mistakes can be reported together with these.
    return Study.model_validate({"title": "", **_without(source.data, wrong)}), source, problems


def _unprintable(data: Any, keys: tuple = ()) -> Iterator[tuple[tuple, str]]:
    """Every text with a control character that no page, table or terminal could show, and where it stands."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if isinstance(key, str) and _CONTROL.search(key):
                yield keys, key
            yield from _unprintable(value, (*keys, key))
    elif isinstance(data, list | tuple):
        for place, value in enumerate(data):
            yield from _unprintable(value, (*keys, place))
    elif isinstance(data, str) and _CONTROL.search(data):
        yield keys, data


def _without(data: Mapping[str, Any], wrong: list[tuple]) -> dict[str, Any]:
    """The study less its wrong keys and axes of a space; a wrong block of the grid is emptied, so that the rest keep
    their index."""
    rest = {key: found for key, found in data.items() if key not in {loc[0] for loc in wrong}}
    blocks = {loc[1] for loc in wrong if loc[0] == "grid" and len(loc) > 1}
    if blocks and "grid" not in {loc[0] for loc in wrong if len(loc) == 1}:
        rest["grid"] = [{} if index in blocks else block for index, block in enumerate(_listed(data["grid"]))]
    axes = {loc[1] for loc in wrong if loc[0] == "space" and len(loc) > 1}
    if axes:
        rest["space"] = {path: axis for path, axis in data["space"].items() if path not in axes}
    return rest
