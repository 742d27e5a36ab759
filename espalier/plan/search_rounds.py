"""Rounds of a search: the points of each follow from the results of those before it, by a model that Optuna fits."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.counted import counted
from espalier.errors import Mistake
from espalier.plan import chain_scores
from espalier.plan.chain import Settings
from espalier.plan.open_questions import OpenQuestion
from espalier.plan.runs import Run
from espalier.plan.selected_points import Configured
from espalier.plan.space_draws import DrawnConfigurations, SpaceDraws, first_new
from espalier.plan.study import Study
from espalier.search import halving, model_based
from espalier.search.space import Draw, Space, as_written

if TYPE_CHECKING:
    from espalier.plan.build import PlannedStudy

_ASKS = 10
"""Proposals for each point that is wanted, at most: a model may name the same point, or an excluded one, for ever."""


@dataclass(frozen=True)
class RoundQuestion(OpenQuestion):
    """Which points a round has."""

    adds_points = True

    space: Space
    choose: Callable[[Iterator[Draw]], dict[str, Any]]
    """proposals → the draws that are run, and how many were asked for"""

    def text(self) -> str:
        """What is waited for, in words."""
        points = f"the {counted(self.parameters['points'], 'point')} of round {self.parameters['round']}"
        ended = counted(len(self.needs), f"run of {self.study} has", f"runs of {self.study} have")
        return f"when {ended} ended, {self.parameters['method']} is asked for {points}"

    def answer(self, root: Path = Path()) -> dict[str, Any]:
        """What was drawn before, with its scores, and what is drawn now.

        Raises:
            Mistake: the record of a run is missing or damaged, or too few points are left.
        """
        scores = {run.name: chain_scores.final_score(root / run.path, self.parameters["by"]) for run, _ in self.needs}
        means = [halving.mean([scores[name] for name in each["runs"]]) for each in self.parameters["draws"]]
        results = [(each["draw"], mean) for each, mean in zip(self.parameters["draws"], means, strict=True)]
        parameters = self.parameters
        proposals = model_based.proposals(
            self.space, results, parameters["method"], parameters["seed"], parameters["round"]
        )
        return {"asked": dict(parameters), "scores": scores, "means": means, **self.choose(proposals)}


class Rounds:
    """The rounds of one study, as far as results tell them by now.

    Args:
        name: of the study
        partly: the study with some of its configurations alone
    """

    def __init__(self, name: str, partly: "Callable[[Configured, int], PlannedStudy]"):
        self._name, self._partly = name, partly
        self.answers: tuple[Mapping[str, Any], ...] = ()
        self.pending: OpenQuestion | None = None
        self.of: dict[Settings, int] = {}
        """configuration → the round that it came with"""

    def draws_so_far(
        self, study: Study, first: Sequence[DrawnConfigurations], drawing: SpaceDraws
    ) -> list[DrawnConfigurations]:
        """The draws of the first round, and of those rounds whose points are known.

        Raises:
            Mistake: the draws are not compared by one metric.
        """
        self.answers, self.pending, self.of = (), None, {}
        found, earlier, more = [], _EarlierDraws(), list(first)
        for number in range(1, study.sample.rounds + 1):
            if number > 1:
                question = self._question(study, number, earlier, drawing)
                answer = question.saved_answer()
                if answer is None:
                    self.pending = question
                    break
                self.answers += (answer,)
                more = drawing.filtered(answer["drawn"])
            self._add(study, more, earlier, drawing)
            found += more
            self.of = dict.fromkeys(_settings(more), number) | self.of
        return found

    def _question(self, study: Study, number: int, earlier: "_EarlierDraws", drawing: SpaceDraws) -> RoundQuestion:
        sample = study.sample
        parameters = {
            "round": number,
            "method": sample.method,
            "seed": sample.seed,
            "points": sample.points,
            "by": earlier.metric,
            "space": as_written(study.space),
            "exclude": [list(block.exclude) for block in study.grid],
            "when": [[each.model_dump(by_alias=True) for each in block.when] for block in study.grid],
            "constraints": list(study.constraints),
            "draws": list(earlier.draws),
        }
        needs, before = tuple((run, None) for run in earlier.runs), frozenset(self.of)
        choose = partial(_choose_draws, study=study, number=number, before=before, drawing=drawing)
        return RoundQuestion(self._name, f"round-{number}", parameters, needs, study.space, choose)

    def _add(
        self, study: Study, more: Sequence[DrawnConfigurations], earlier: "_EarlierDraws", drawing: SpaceDraws
    ) -> None:
        """Add draws to what is asked of, each with the runs that tell its score.

        Raises:
            Mistake: they are not compared by the metric of those before.
        """
        settings = list(dict.fromkeys(_settings(more)))
        for each in settings:
            metric = f"validation_{each.train.select}"
            earlier.metric = earlier.metric or metric
            if metric != earlier.metric:
                raise Mistake("points are compared by train.select, which must be one for all; take it out of the axes")
        points = iter(self._partly([(each, drawing.labels(each)) for each in settings], len(settings)).points)
        runs = {
            each: [chain_scores.measuring_run(point, earlier.metric) for point in itertools.islice(points, study.times)]
            for each in settings
        }
        for one in more:
            own = dict.fromkeys(itertools.chain.from_iterable(runs[each] for each in one.settings))
            earlier.draws.append({"draw": dict(one.draw), "runs": [run.name for run in own]})
            earlier.runs |= own


@dataclass
class _EarlierDraws:
    """What the next round is asked of, so far."""

    metric: str = ""
    draws: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[Run, None] = field(default_factory=dict)


def _settings(found: Iterable[DrawnConfigurations]) -> Iterator[Settings]:
    return itertools.chain.from_iterable(each.settings for each in found)


def _choose_draws(
    proposals: Iterator[Draw], study: Study, number: int, before: frozenset[Settings], drawing: SpaceDraws
) -> dict[str, Any]:
    """Choose the draws of a round: the first proposals that are new and keep a configuration.

    Where the model proposes too few, the next draws of the first round's sequence (Sobol) fill the rest.

    Raises:
        Mistake: fewer draws than asked for are left.
    """
    wanted, found, asks = study.sample.points, [], 0

    def fresh(draws: Sequence[Draw]) -> list[DrawnConfigurations]:
        return first_new(drawing.filtered(draws), before.union(_settings(found)), wanted - len(found))

    while len(found) < wanted and asks < _ASKS * wanted:
        batch = list(itertools.islice(proposals, wanted - len(found)))
        asks += len(batch)
        found += fresh(batch)
    proposed = len(found)
    if proposed < wanted:
        found += fresh([each.draw for each in drawing.first(study.sample.total)[0]])
    if len(found) < wanted:
        left = f"{len(found)} of {counted(wanted, 'point is', 'points are')} left"
        raise Mistake(f"of round {number} {left}; ask for fewer, or widen space")
    return {"asks": asks, "proposed": proposed, "drawn": [dict(each.draw) for each in found]}


def problems(study: Study) -> Iterator[tuple[tuple, str, str]]:
    """Every (keys in the file, key path, message) of rounds that have no clear meaning."""
    sample = study.sample
    if not sample.modelled:
        if sample.rounds > 1:
            message = f"{sample.method} draws all points at once; leave rounds out, or say method: tpe"
            yield ("sample", "rounds"), "sample.rounds", message
        return
    if sample.rounds == 1:
        message = f"{sample.method} learns from the rounds before; say how many there are, e.g. rounds: 5"
        yield ("sample", "rounds"), "sample.rounds", message
    for key in ("halving", "median_stopping"):
        if getattr(study, key):
            message = f"what it ends is no result that {sample.method} could learn from; leave one of the two out"
            yield (key,), key, message


def known_rounds(answers: Iterable[Mapping[str, Any]]) -> int:
    """How many rounds have points, by the answers of a study."""
    return 1 + sum("round" in answer["asked"] for answer in answers)
