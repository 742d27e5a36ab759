"""The plan of the configured studies as their files stand now, made without Snakemake."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.errors import Mistake
from espalier.settings import plugins
from espalier.settings.bounded_yaml import read, shown
from espalier.settings.problems import StudyError
from espalier.settings.words import value

if TYPE_CHECKING:
    from espalier.plan.build import Plan, PlannedStudy

CONFIG = Path("config/config.yaml")
STUDIES = Path("config/studies")


def plan_studies(studies: Sequence[str] = (), words: Sequence[str] = ()) -> "Plan":
    """The plan of studies, by default of those that the configuration names.

    Args:
        words: what Snakemake is given after --config, as key=value

    Raises:
        Mistake: the configuration or a study cannot be used.
    """
    return plan_config(_read() | _words(words) | ({"studies": list(studies)} if studies else {}))


def plan_config(found: Mapping[str, Any]) -> "Plan":
    """The plan of a configuration.

    Raises:
        Mistake: the configuration or a study cannot be used.
    """
    if "plugins" in found:
        plugins.use(found["plugins"])
    # What a study may name is fixed when these are imported.
    from espalier.plan import config
    from espalier.plan.build import build

    try:
        settings, overrides = config.read(found)
        return build(settings.studies, STUDIES, overrides)
    except StudyError as error:
        raise Mistake(str(error)) from None


def plan_comparison(studies: Sequence[str], words: Sequence[str] = ()) -> "PlannedStudy":
    """A study that compares others, made of their names alone.

    Args:
        words: what Snakemake is given after --config, as key=value

    Raises:
        Mistake: one cannot be used, or they have other data.
    """
    members = plan_studies(studies, words).studies
    if len(members) < 2:
        raise Mistake("espalier compare: name two studies or more")
    from espalier.plan import combined_study
    from espalier.plan.build import PlannedStudy
    from espalier.plan.study import Study

    title = " and ".join(members)
    wanted = {"tables": ["against_baseline", "summary"], "figures": [{"name": "tradeoff", "x": "params"}]}
    try:
        study = Study.model_validate({"title": title, "compare": [*members], **wanted})
        found, axes, baseline, points = combined_study.combine(study, members, "espalier compare")
    except StudyError as error:
        raise Mistake(str(error)) from None
    planned = PlannedStudy("-".join(members), title, found, axes, baseline, points, {})
    return combined_study.with_answers(planned, members)


def _read() -> dict[str, Any]:
    try:
        found = read(CONFIG.read_text())
    except FileNotFoundError:
        raise Mistake(f"{CONFIG}: there is no such file; call espalier in the folder of the repository") from None
    except (OSError, ValueError) as error:
        raise Mistake(f"{CONFIG}: cannot be read ({error})") from None
    if not isinstance(found, dict | None):
        raise Mistake(f"{CONFIG}: found {shown(found)}, expected a mapping of keys to values")
    return found or {}


def _words(words: Sequence[str]) -> dict[str, Any]:
    pairs = [word.partition("=") for word in words]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise Mistake(f"--config: found {wrong[0]!r}, expected key=value")
    try:
        return {key: value(text) for key, _, text in pairs}
    except ValueError as error:
        raise Mistake(f"--config: {error}") from None
