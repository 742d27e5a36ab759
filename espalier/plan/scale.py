"""scale: smoke – a study's whole plan on a few images that ship with a library, to see that everything works.

Configurations, constraints and labels are those of the full study: networks are counted and chosen as they are there.
Then every configuration is cut: another data set of as many classes, one epoch, small batches. Each smoke run takes
the place of one full run and carries its id, so that the plan has as many runs a stage, shared alike, and none of them
is ever taken for a result.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from espalier.data import stated
from espalier.models import rules
from espalier.plan import teachers
from espalier.plan.chain import Settings
from espalier.plan.grid import attribute, has
from espalier.plan.settings_misfits import misfits
from espalier.plan.study import SECTIONS, Study
from espalier.settings.keys import put
from espalier.settings.problems import describe, unknown
from espalier.settings.registry import Choice
from espalier.stages import STAGES

SIDES = 16, 32
"""Pixels a side, of which the images of a data set have the first that all of its networks take; their own where none
is."""
BATCH = 32
_ELSEWHERE = 32, 10
"""Pixels a side and classes of a stand-in for data whose own only the prepared file tells."""
# A network that has learned nothing falls below its floor by chance alone: 3 rounds show that there are several.
_MOST = {"quantize.calibration_images": 64, "export.calibration_images": 64, "prune.rounds": 3, "control_epochs": 2}

Shape = tuple[int | None, int | None, int]
"""Classes, image side and channels of a full data set, as far as it states them."""


def smoke_runs(
    chosen: Sequence[Settings], study: Study, shapes: Sequence[Shape]
) -> tuple[list[Settings | None], list[tuple[str, str]]]:
    """The smoke run of every configuration (None where the study runs at full scale), and every mistake in `smoke`.

    A mistake is (key path, message).
    """
    wrong = [(path, message) for path in study.smoke for message in _unfit(path, chosen)]
    if study.scale == "full" or wrong:
        return [None] * len(chosen), wrong
    found: list[Settings | None] = []
    sides = _sides(chosen)
    for settings, (classes, side, channels) in zip(chosen, shapes, strict=True):
        side = side or _ELSEWHERE[0]
        shape = classes or _ELSEWHERE[1], min(side, sides.get(settings.dataset, side)), channels
        try:
            found.append(smoke_settings(settings, shape, study.smoke))
            wrong += misfits(found[-1])
        except ValidationError as error:
            found.append(None)
            wrong += [describe(one, Settings) for one in error.errors()]
    return found, list(dict.fromkeys(wrong))


def smoke_settings(settings: Settings, shape: tuple[int, int, int], own: Mapping[str, Any]) -> Settings:
    """A configuration reduced so that it runs within seconds: a small stand-in data set, one epoch, small batches.

    Args:
        shape: classes, image side and channels of the smoke run
        own: key path → value of the study's own `smoke`; keys that this configuration does not have are skipped

    Raises:
        ValidationError: a value of `own` is not allowed.
    """
    small = _with(settings, dict(_cuts(settings, *shape)))
    return _with(small, {path: value for path, value in own.items() if has(small, path)}).reduced()


def smoke_study(study: Study) -> Study:
    """The study as its page shows it: called a smoke run, of one repeat each."""
    kept = {part: _of_one_repeat(getattr(study, part)) for part in ("tables", "figures")}
    once = {"repeats": 1, "folds": None, "halving": None, "median_stopping": None}
    return study.model_copy(update={"title": f"Smoke run: {study.title}", **once, **kept})


def _unfit(path: str, chosen: Sequence[Settings]) -> Iterator[str]:
    """Why the smoke run of no configuration has a key path; its data set is another one."""
    section = path.partition(".")[0]
    if section not in SECTIONS:
        yield unknown("section", section, SECTIONS)
    elif section != "dataset" and chosen and not any(has(settings, path) for settings in chosen):
        yield "no configuration of the study has this key"


def _of_one_repeat(items: tuple) -> tuple:
    found: list[Choice] = []
    for item in items:
        first = item.model_copy(update={"repeat": 1}) if getattr(item, "repeat", 1) > 1 else item
        # A setting may be a mapping, which has no hash.
        if first not in found:
            found.append(first)
    return tuple(found)


def _with(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    nested = settings.model_dump()
    for path, value in changes.items():
        put(nested, path, value)
    return Settings.model_validate(nested)


def _cuts(settings: Settings, classes: int, side: int, channels: int) -> Iterator[tuple[str, Any]]:
    yield "dataset", {"name": "stand_in", "image_size": side, "classes": classes, "channels": channels}
    # Published weights would have to be fetched.
    yield "pretrained", False
    for teacher in teachers.of_chain(settings, STAGES):
        yield f"{teacher.path}.pretrained", False
    for section, pretrained in _trainings(settings):
        training = attribute(settings, section)
        # Without published weights, nothing else has trained the network.
        epochs = 1 if pretrained else min(training.epochs, 1)
        yield f"{section}.epochs", epochs
        yield f"{section}.batch_size", min(training.batch_size, BATCH)
        yield f"{section}.processes", 1
        # It takes longer than the epoch.
        yield f"{section}.compile", False
        yield f"{section}.warmup_epochs", min(training.warmup_epochs, epochs / 2)
    for path, most in _MOST.items():
        if has(settings, path) and attribute(settings, path) is not None:
            yield path, min(attribute(settings, path), most)


def _trainings(settings: Settings) -> Iterator[tuple[str, bool]]:
    """Where settings say how something is trained, and whether that begins with published weights."""
    for stage in (stage for stage in STAGES.values() if stage.training and has(settings, f"{stage.training}.epochs")):
        yield stage.training, stage.name == "train" and settings.pretrained
    for teacher in teachers.of_chain(settings, STAGES):
        yield f"{teacher.path}.train", teacher.spec.pretrained


def _sides(chosen: Sequence[Settings]) -> dict[Choice, int]:
    """Data set → the side of its images in small; one for all networks, so that they share it as they do in full."""
    models: dict[Choice, set[Choice]] = {}
    for settings in chosen:
        taught = (teacher.spec.model for teacher in teachers.of_chain(settings, STAGES))
        models.setdefault(settings.dataset, set()).update((settings.model, *taught))
    taken = {dataset: _smallest(networks, stated.channels(dataset)) for dataset, networks in models.items()}
    return {dataset: side for dataset, side in taken.items() if side}


def _smallest(networks: Iterable[Choice], channels: int) -> int | None:
    """The smallest side that every network takes, where there is one."""
    facts = [(network.entry(), network.settings()) for network in networks]
    return next(
        (side for side in sorted(SIDES) if not any(rules.misfit(*each, side, channels) for each in facts)), None
    )
