"""The figures of a study, drawn one after another in one process."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from espalier.results.format import style
from espalier.results.read.planned_study import Study
from espalier.results.requested import Asked

if TYPE_CHECKING:
    import pandas as pd


def draw(figures: Iterable[Asked], folder: Path, frame: "pd.DataFrame", history: "pd.DataFrame", study: Study) -> None:
    """Write every figure as <key>.png and <key>.pdf into `folder`."""
    with style.applied():
        for item in figures:
            style.save(item.make(frame, history, study), folder, item.key)
