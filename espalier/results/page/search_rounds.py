"""What a page says of a search that asked a model for its points, round by round."""

from typing import TYPE_CHECKING

from espalier.counted import counted
from espalier.results.format import numbers
from espalier.results.read.planned_study import Study

if TYPE_CHECKING:
    import pandas as pd


def lines(frame: "pd.DataFrame", study: Study) -> list[str]:
    """How the points came about, and the best configuration of each round so far; nothing of a study without rounds."""
    if not (search := study.get("rounds")):
        return []
    points, by = search["points"], search["by"].replace("_", " ")
    drawn = f"{counted(points, 'point')} drawn by Sobol, then {points} more a round, asked of {search['method']}"
    text = f"A search in {search['of']} rounds: {drawn} by the {by} of all before."
    means = frame.groupby(["round", "configuration"])[search["by"]].mean()
    least = search["by"].endswith("_loss")
    best = means.groupby("round").min() if least else means.groupby("round").max()
    values = ", ".join(numbers.plain(value, 4 if least else 2) for value in best)
    return [f"{text} The best configuration of each round so far: {values}."]
