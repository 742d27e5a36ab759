"""Sentences on the configurations that a block of a study started from: which were selected, among how many, and how
optimistic the selection is.
"""

from typing import NamedTuple

from espalier.results.format import numbers
from espalier.results.read.planned_study import Study
from espalier.search import chance


class Selection(NamedTuple):
    """A choice among configurations."""

    chosen: list[tuple[str, float]]
    """name and mean score of each, the best first"""
    among: int
    of: str
    """the study that they are of"""
    by: str
    optimism: float | None
    """what the best of so many is expected to lie above its own worth, if all were equally good"""

    def text(self) -> str:
        """One sentence, and what it is worth."""
        names = "; ".join(f"{name} ({numbers.plain(abs(mean))})" for name, mean in self.chosen)
        if self.among == 1:
            return f"Started from the one configuration of {self.of} that was left: {names}."
        text = f"Selected of {self.among} configurations of {self.of} by {self.by.replace('_', ' ')}: {names}."
        if self.optimism is None or self.by.endswith("loss"):
            return text
        worth = "by the seeds' spread, the best of so many equal ones would lie"
        return f"{text} Choosing is optimistic: {worth} {numbers.plain(self.optimism)} points above their mean."


def selections(study: Study) -> list[Selection]:
    """All that were answered, in the order of the blocks."""
    return [
        Selection(
            sorted(
                ((each["name"], each["mean"]) for each in one["candidates"] if each["kept"]), key=lambda pair: -pair[1]
            ),
            len(one["candidates"]),
            one["of"],
            one["by"],
            chance.optimism([each["scores"] for each in one["candidates"]]),
        )
        for one in study.get("selections", ())
    ]
