"""The workflow's configuration: which studies, how they are run, and overrides of any study key."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Strict, ValidationError

from espalier.plan.study import Study
from espalier.settings.plugins import listed
from espalier.settings.problems import Problem, StudyError, describe, unknown
from espalier.settings.registry import Spec
from espalier.settings.types import Count

_PLACE = "config/config.yaml or --config"


class Config(Spec):
    """Keys of config/config.yaml; any key of a study may stand beside them and overrides it in every study."""

    studies: Annotated[tuple[str, ...], BeforeValidator(listed), Strict(False)] = ("demo",)
    """studies to run: names of files in config/studies/, or paths of study files"""
    plugins: Annotated[tuple[str, ...], BeforeValidator(listed), Strict(False)] = ()
    """files of your own, relative to the repository, whose registered functions join the library's"""
    tracking: Annotated[
        tuple[Literal["tensorboard", "mlflow", "wandb"], ...], BeforeValidator(listed), Strict(False)
    ] = ()
    """what follows trainings while they run, each told every epoch; changes no run and no result"""
    fail_fast: Count | None = None
    """stop a call whose first so many runs all fail or diverge alike; null for never; changes no run"""
    preload: Literal["auto", True, False] = "auto"
    """import torch once for all runs on this machine, which are then forked; auto does it on Linux without a GPU;
    changes no weights and no scores; a run starts sooner, and less memory is counted as its own"""


def read(config: Mapping[str, Any]) -> tuple[Config, dict[str, Any]]:
    """The workflow's own keys, and the overrides of study keys.

    Raises:
        StudyError: a key is neither, or has a wrong value.
    """
    own = {key: value for key, value in config.items() if key in Config.model_fields}
    overrides = {key: value for key, value in config.items() if key in Study.model_fields}
    allowed = [*Config.model_fields, *Study.model_fields]
    problems = [Problem(key, unknown("key", key, allowed), _PLACE) for key in config if key not in allowed]
    settings = Config()
    try:
        settings = Config.model_validate(own)
    except ValidationError as error:
        problems += [Problem(*describe(e, Config), _PLACE) for e in error.errors()]
    if problems:
        raise StudyError(problems)
    return settings, overrides
