"""Blocks of a grid that start from the best configurations of other blocks, or of another study.

The best ones are known once the candidates have results; until then the plan waits.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.counted import counted
from espalier.errors import Mistake
from espalier.plan import chain_scores, rungs
from espalier.plan.chain import Settings
from espalier.plan.grid import GridPoint
from espalier.plan.open_questions import OpenQuestion
from espalier.plan.study import Select

if TYPE_CHECKING:
    from espalier.plan.build import PlannedStudy, Point

Labels = Mapping[str, str]
Configured = Sequence[tuple[Settings, Labels]]


class BestQuestion(OpenQuestion):
    """The best of configurations at the end of their chains."""

    adds_points = True

    def text(self) -> str:
        """What is waited for, in words."""
        candidates = counted(len(self.parameters["candidates"]), "configuration")
        among = f"the best {self.parameters['best']} of {candidates} of {self.parameters['of']}"
        ended = counted(len(self.needs), "run has", "runs have")
        return f"when {ended} ended, {among} by {self.parameters['by']}, a mean over seeds"

    def answer(self, root: Path = Path()) -> dict[str, Any]:
        """The candidates, with their scores, and which are chosen.

        Raises:
            Mistake: the record of a run is missing or damaged.
        """
        scores = {run.name: chain_scores.final_score(root / run.path, self.parameters["by"]) for run, _ in self.needs}
        return {
            "asked": dict(self.parameters),
            "candidates": rungs.with_scores(self.parameters["candidates"], scores, self.parameters["best"]),
        }


class Selections:
    """Resolves the `select` of the blocks of one study, as far as there are results.

    Args:
        name: of the study
        partly: (configurations, count) → the study planned with these configurations only; its rungs compare the
            trainings of the first `count` of them
        planned: plans another study from its file, or raises a Mistake
    """

    def __init__(
        self,
        name: str,
        partly: "Callable[[Configured, int], PlannedStudy]",
        planned: "Callable[[str], PlannedStudy]",
    ):
        self._name, self._partly, self._planned = name, partly, planned
        self.answers: tuple[Mapping[str, Any], ...] = ()
        self.pending: OpenQuestion | None = None

    def of_blocks(self, select: Select, before: Configured, first: int) -> list[int] | None:
        """Indices in `before` of the configurations that are selected, the best first; None while results are missing.

        Args:
            before: the configurations of all earlier blocks; those of blocks without a selection come first
            first: how many configurations come from blocks without a selection

        Raises:
            Mistake: there are fewer configurations than are asked for.
        """
        if self.pending:
            return None
        planned = self._partly(before, first)
        places = {tuple(labels.values()): place for place, (_, labels) in enumerate(before)}
        found = self._best(planned, select)
        return None if found is None else [places[labels] for labels in found]

    def of_study(self, select: Select) -> tuple[tuple[str, ...], list[GridPoint] | None]:
        """The axes of another study, and the settings that its best configurations change, the best first.

        The second is None while results are missing.

        Raises:
            Mistake: the other study cannot be planned, or has fewer configurations than are asked for.
        """
        other = self._planned(select.study)
        found = None if self.pending else self._best(other, select)
        return other.axes, None if found is None else [other.changes[labels] for labels in found]

    def _best(self, planned: "PlannedStudy", select: Select) -> list[tuple[str, ...]] | None:
        """The labels of the best configurations."""
        of: dict[tuple[str, ...], list[Point]] = {}
        for point in planned.kept:
            of.setdefault(tuple(point.labels.values()), []).append(point)
        if select.best > len(of) and not (planned.pending and planned.pending.adds_points):
            raise Mistake(f"{select.best} are asked for, and there are {len(of)}; ask for fewer")
        if planned.study.scale != "full":
            # A smoke run has no results to select by.
            return list(of)[: select.best]
        if planned.pending:
            self.pending = planned.pending
            return None
        runs = [[chain_scores.measuring_run(point, select.by) for point in points] for points in of.values()]
        parameters = {
            "best": select.best,
            "by": select.by,
            "of": planned.name,
            "candidates": [[run.name for run in each] for each in runs],
            "named": [_name(planned, labels) for labels in of],
        }
        question = BestQuestion(self._name, "best", parameters, tuple((run, None) for each in runs for run in each))
        answer = question.saved_answer()
        if answer is None:
            self.pending = question
            return None
        self.answers += (answer,)
        named = zip(of, answer["candidates"], strict=True)
        kept = [(labels, each["mean"]) for labels, each in named if each["kept"]]
        return [labels for labels, mean in sorted(kept, key=lambda pair: -pair[1])]


def _name(planned: "PlannedStudy", labels: tuple[str, ...]) -> str:
    """The labels of a configuration as one text, without empty ones; the name of its study where none is left."""
    return " · ".join(label for label in labels if label not in ("none", "–")) or planned.name
