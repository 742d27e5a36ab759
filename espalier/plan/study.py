"""What a study may say: its shape, and the check of a file against it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict, ValidationError

from espalier.plan.spec import STAGES
from espalier.plan.study_file import Source, retyped
from espalier.settings.problems import Problem, describe, written
from espalier.settings.registry import Spec, choice
from espalier.settings.sections import Encoding, Evaluation, Export, FineTuning, Quantization, Training
from espalier.settings.types import AlsoWritten, Count, Natural, Protocol

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
    protocol: Protocol = "clean"
    """where choices are made: clean on images set aside from training; published on the test split, as reports did,
    with all other images to train on, so that accuracies are optimistic"""
    model: choice("model") | None = None
    """network, by name or with its settings"""
    augment: Annotated[tuple[choice("augmentation"), ...], Strict(False)] = ()
    """augmentations of the training images, in order"""
    train: Training = Training()
    """how the networks are trained"""
    pretrained: bool = False
    """start from the ImageNet weights that torchvision or timm publish, as far as their shapes fit"""
    checkpoint: str | None = None
    """start from weights of your own: a file in safetensors, or a state dict saved by torch"""
    prune: choice("pruning") | None = None
    """what to prune and how, by name or with its settings; null for nothing"""
    control: Literal["random", "scratch"] | None = None
    """what pruned networks are compared with: random weights or channels pruned, or the pruned structure trained
    from scratch for the same total epochs; meant as an axis beside null, which is the pruned network itself"""
    fine_tune: FineTuning = FineTuning()
    """how the pruned networks are trained"""
    export: Export | None = None
    """ONNX files of the float networks, checked and timed; {} for the defaults, null for none"""
    quantize: Quantization | None = None
    """grid of widths and how networks are brought to them; {} for the defaults, null for none"""
    encode: Encoding | None = None
    """one small file of each network; {} for the defaults, null for none"""
    evaluate: Evaluation = Evaluation()
    """what evaluation writes"""
    stages: Annotated[
        tuple[Literal["train", "prune", "export", "quantize", "encode", "evaluate"], ...], Strict(False)
    ] = ("train", "prune", "export", "quantize", "encode", "evaluate")
    """stages to run, those left out whose section is null; the data set is always prepared"""
    repeats: Count = 1
    """runs of each configuration, with seeds `seed`, `seed` + 1, …"""
    seed: Natural = 0
    """seed of the first repeat"""
    scale: Literal["full", "smoke"] = "full"
    """smoke runs the same plan in minutes, one epoch on a few embedded images: it works, and is no result"""
    smoke: Point = Field({})
    """key path → value under scale smoke, for what its general rule cannot know; left out where a point has no such key
    """
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
