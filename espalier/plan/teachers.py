"""Teachers: what a study says of them, completed from the chain's own settings, and the runs that they are."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic_core import ErrorDetails

from espalier.settings.keys import merged
from espalier.settings.registry import Spec
from espalier.settings.sections import Teacher, Training
from espalier.stages import STAGES
from espalier.stages.frame.stage_run import section
from espalier.stages.train import TrainStage

_INHERITED = ("model", "augment", "train", "pretrained", "checkpoint")
"""Settings of a chain that its teachers have too, unless they say otherwise."""


class ChainTeacher(NamedTuple):
    """A teacher that settings ask for."""

    path: str
    """where it stands in them"""
    teacher: Teacher
    spec: TrainStage
    """the settings of its run"""


def completed(data: Any) -> Any:
    """Settings as they are written, with those of the chain laid under what each teacher in them says."""
    if not isinstance(data, Mapping):
        return data
    for stage in STAGES.values():
        if stage.training:
            data = _completed(data, stage.training.split("."), data)
    return data


def _completed(data: Mapping, keys: list[str], chain: Mapping) -> Mapping:
    key, *deeper = keys
    inner = data.get(key)
    if not isinstance(inner, Mapping):
        return data
    if deeper:
        return {**data, key: _completed(inner, deeper, chain)}
    if not isinstance(inner.get("teacher"), Mapping):
        return data
    own = {name: chain[name] for name in _INHERITED if name in chain}
    if inner is own.get("train"):
        own["train"] = {name: value for name, value in inner.items() if name != "teacher"}
    said = {name: value for name, value in inner["teacher"].items() if (name, value) != ("model", None)}
    taught = merged(own, said)
    return {**data, key: {**inner, "teacher": _completed(taught, ["train"], taught)}}


def without_repeats(errors: Iterable[ErrorDetails]) -> list[ErrorDetails]:
    """Mistakes without those that a teacher has from its chain, where they are told already."""
    errors = list(errors)
    known = {error["loc"] for error in errors}
    return [each for each in errors if not any(loc in known for loc in _of_teachers(each["loc"]))]


def _of_teachers(loc: tuple) -> Iterator[tuple]:
    """What follows each `teacher` of a location: where its chain would say the same."""
    return (loc[place + 1 :] for place, key in enumerate(loc) if key == "teacher")


def has_teacher(setting: Any) -> bool:
    """Whether a setting is a teacher or has one in it."""
    if isinstance(setting, Teacher):
        return True
    return isinstance(setting, Spec) and any(has_teacher(getattr(setting, key)) for key in type(setting).model_fields)


def of_chain(settings: Spec, stages: Iterable[str]) -> Iterator[ChainTeacher]:
    """The teachers that a chain of these stages asks for, and their own teachers."""
    for name in stages:
        train = section(STAGES[name], settings)
        path = STAGES[name].training
        while train is not None and train.teacher is not None:
            path = f"{path}.teacher"
            found = ChainTeacher(path, train.teacher, spec(train.teacher, settings.seed))
            yield found
            path, train = f"{path}.train", found.spec.train


def spec(teacher: Teacher, seed: int) -> TrainStage:
    """The settings of a teacher's run.

    Args:
        seed: the repeat's, where the teacher names none
    """
    return TrainStage(
        model=teacher.model,
        augment=teacher.augment or (),
        train=teacher.train or Training(),
        pretrained=bool(teacher.pretrained),
        checkpoint=teacher.checkpoint,
        seed=seed if teacher.seed is None else teacher.seed,
    )


def without_teacher(settings: Spec, path: str) -> Spec:
    """The settings of a run without those of its teacher, which is another run.

    Args:
        path: of the section that says how it trains
    """
    key, _, deeper = path.partition(".")
    inner = getattr(settings, key)
    if deeper:
        return settings.model_copy(update={key: without_teacher(inner, deeper)})
    kept = Teacher(temperature=inner.teacher.temperature, weight=inner.teacher.weight)
    return settings.model_copy(update={key: inner.model_copy(update={"teacher": kept})})
