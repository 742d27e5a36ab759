"""Key paths that a study may name, and the message for one that it may not."""

from functools import cache

from espalier.plan.chain import Settings
from espalier.plan.study import SECTIONS
from espalier.settings.keys import flat
from espalier.settings.problems import unknown


@cache
def known() -> tuple[str, ...]:
    """Key paths of the sections, for the nearest name of a mistyped one."""
    training = Settings.model_fields["train"].default.model_dump()
    return (*SECTIONS, *(f"train.{path}" for path, _ in flat(training)), *(f"train.{key}" for key in training))


def unknown_key(path: str) -> str:
    """The message for a key path that no point has."""
    same_end = [one for one in known() if one.split(".")[-1] == path.split(".")[-1]]
    hint = f"; did you mean {same_end[0]!r}?" if same_end else ""
    return f"unknown key path {path!r}{hint}" if hint else unknown("key path", path, known())
