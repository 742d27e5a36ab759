"""The workflow's configuration: which studies, how they are run, and overrides of any study key."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict, ValidationError

from espalier.plan.study import Study
from espalier.plan.study_file import retyped
from espalier.settings.bounded_yaml import shown
from espalier.settings.keys import merged, nested
from espalier.settings.plugins import listed
from espalier.settings.problems import Problem, StudyError, describe, unknown
from espalier.settings.registry import Spec
from espalier.settings.types import Count

_PLACE = "config/config.yaml or --config"


def _names(found: Any) -> Any:
    """A list of names as `listed` reads it, those that YAML takes for numbers or dates as texts; null as nothing."""
    found = listed(found)
    if isinstance(found, list | tuple):
        return [_text(one) for one in found]
    return [] if found is None else [_text(found)] if _text(found) != found else found


def _text(found: Any) -> Any:
    return str(found) if isinstance(found, bool | int | float | date) else found


class Config(Spec):
    """Keys of config/config.yaml. Any key of a study may stand beside them; it then overrides that key in every
    study."""

    studies: Annotated[tuple[str, ...], BeforeValidator(_names), Strict(False), Field(min_length=1)] = ("demo",)
    """studies to run: names of files in config/studies/, with or without .yaml, or paths of study files"""
    plugins: Annotated[tuple[str, ...], BeforeValidator(listed), Strict(False)] = ()
    """Python files of your own, as paths from the repository's folder; what they register can be named in studies"""
    tracking: Annotated[
        tuple[Literal["tensorboard", "mlflow", "wandb"], ...], BeforeValidator(_names), Strict(False)
    ] = ()
    """programs that show trainings while they run and get new numbers after every epoch; changes no run and no
    result"""
    fail_fast: Count | None = None
    """stop a call if its first runs, as many as said here, all fail or diverge alike; null: never; changes no run"""
    keep_ends: bool = True
    """keep the state at the end of trainings whose schedule does not depend on their length, so that longer ones can
    go on from there; takes three to five times the space of the network's file; changes no run"""
    preload: Literal["auto", True, False] = "auto"
    """import torch once and fork all runs on this machine from that process, so that they start sooner; auto: on
    Linux. Changes no weights and no scores; less memory is counted as a run's own"""


def read(config: Mapping[str, Any]) -> tuple[Config, dict[str, Any]]:
    """The workflow's own keys, and the overrides of study keys.

    Raises:
        StudyError: a key is neither, or has a wrong value.
    """
    own: dict[str, Any] = {}
    overrides: dict[str, Any] = {}
    problems = []
    allowed = [*Config.model_fields, *Study.model_fields]
    for key, given in config.items():
        try:
            typed = retyped(given)
            if key in Config.model_fields:
                own[key] = typed
            elif str(key).partition(".")[0] in Study.model_fields:
                # A dotted key is the path of one setting, as axes name it.
                overrides = merged(overrides, nested({key: given}))
            else:
                problems.append(Problem(shown(key)[1:-1], unknown("key", key, allowed), _PLACE))
        except ValueError as error:
            problems.append(Problem(key, str(error), _PLACE))
    settings = Config()
    try:
        settings = Config.model_validate(own)
    except ValidationError as error:
        problems += [Problem(*describe(e, Config), _PLACE) for e in error.errors()]
    if problems:
        raise StudyError(problems)
    return settings, overrides
