"""What a page says of a search that asked a model for its points, round by round."""

from typing import TYPE_CHECKING

from espalier.results.format import numbers
from espalier.results.read.planned_study import Study

if TYPE_CHECKING:
    import pandas as pd


def told(frame: "pd.DataFrame", study: Study) -> list[str]:
    """How the points came about, and the best configuration of each round so far; nothing of a study without rounds."""
    if not (search := study.get("rounds")):
        return []
    first = f"the first {search['points']} drawn by Sobol"
    later = f"{search['points']} more in each later round asked of {search['method']}"
    by = search["by"].replace("_", " ")
    text = f"A search in {search['of']} rounds: {first}, {later}, by the {by} of all before."
    means = frame.groupby(["round", "configuration"])[search["by"]].mean()
    least = search["by"].endswith("_loss")
    best = means.groupby("round").min() if least else means.groupby("round").max()
    values = ", ".join(numbers.plain(value, 4 if least else 2) for value in best)
    return [f"{text} The best configuration of each round so far: {values}."]
