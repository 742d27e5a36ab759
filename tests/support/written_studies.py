"""Plans of studies that a test writes out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from espalier.plan.build import Plan, build


def planner(folder: Path, study: str = "") -> Callable[..., Plan]:
    """A function of a study's text, by default `study`, of its name and of overrides: writes the study into `folder`
    and plans it."""

    def planned(text: str = study, name: str = "s", **overrides: Any) -> Plan:
        (folder / f"{name}.yaml").write_text(text)
        return build([name], folder, overrides)

    return planned
