"""The best score of a search as a function of the epochs spent, in an order that does not depend on the clock.

Configurations come in the order of the study, each trained to where it ended. Where all wait for one another at rungs,
the order is rung by rung, and within a rung that of the study.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import inf, isnan, nan
from typing import TYPE_CHECKING, Literal, NamedTuple

from espalier.results.read import rungs
from espalier.results.read.epoch_scores import EpochScores
from espalier.results.read.planned_study import Study
from espalier.runs.record import DIVERGED

if TYPE_CHECKING:
    import pandas as pd


class Step(NamedTuple):
    """A configuration that was trained on, to a rung or to where it ended."""

    spent: int
    """epochs of all trainings up to here; those that configurations share are spent once"""
    configuration: int
    top1: float
    """its validation top-1 in percent, a mean over the seeds that have come so far; NaN where none has"""
    best: float
    """that of the best of all configurations as they stand by now; NaN where none has any"""
    rung: int | None
    """the epoch to which all were trained in this part of the course; None of what waits for no others"""
    state: Literal["goes on", "stopped", "at its end"]


class SearchProgress(NamedTuple):
    """The course of a study's trainings."""

    steps: list[Step]
    spared: int
    """epochs of training that would have been spent besides, had none been stopped"""


def search_progress(frame: "pd.DataFrame", history: "pd.DataFrame", study: Study) -> SearchProgress:
    """Every step, in the defined order; epochs of fine-tuning and extensions count too."""
    if "run.train" not in frame:
        return SearchProgress([], 0)
    epoch_scores = EpochScores(study, history, set(frame.loc[frame["train_wall_s"].notna(), "run.train"]))
    diverged = set(frame.loc[frame["state"] == DIVERGED, "configuration"])
    found, scores, spent = [], {}, 0
    for epochs, number, top1, rung, state in _trained(frame, epoch_scores, study):
        spent += epochs
        # Until the result of a training is known, its score at the last rung counts.
        if number in diverged or not isnan(top1):
            scores[number] = top1
        best = max((score for score in scores.values() if not isnan(score)), default=nan)
        found.append(Step(spent, number, top1, best, rung, state))
    stopped = rungs.stops(study).items()
    return SearchProgress(found, sum(stop.of - min(stop.epochs, epoch_scores.epochs(run)) for run, stop in stopped))


def _trained(
    frame: "pd.DataFrame", epoch_scores: EpochScores, study: Study
) -> Iterator[tuple[int, int, float, int | None, str]]:
    """Epochs that are spent, configuration, and the top-1, rung and state of a `Step`."""
    stopped, trainings, counted = rungs.stops(study), _of(frame, "run.train"), Counter()
    stops = {number: stopped.get(runs[0]) for number, runs in trainings.items() if runs}
    ends = frame.groupby("configuration", sort=False)["validation_top1"].mean()

    def spend(runs: Iterable[str], up_to: float = inf) -> int:
        more = {run: max(0, int(min(up_to, epoch_scores.epochs(run))) - counted[run]) for run in runs}
        counted.update(more)
        return sum(more.values())

    if rungs.waits(study):
        compared = rungs.compared_trainings(study)
        for rung in sorted({stop.epochs for stop in stopped.values()}):
            for number, runs in trainings.items():
                stop = stops.get(number)
                if compared.issuperset(runs) and (stop is None or stop.epochs >= rung):
                    state = "stopped" if stop and stop.epochs == rung else "goes on"
                    yield spend(runs, rung), number, _mean(epoch_scores, runs, rung), rung, state
    for number, runs in _runs(frame).items():
        stop = stops.get(number)
        if stop is None:
            yield spend(runs), number, ends[number], None, "at its end"
        elif not rungs.waits(study):
            own = trainings[number]
            yield spend(own, stop.epochs), number, _mean(epoch_scores, own, stop.epochs), None, "stopped"


def _mean(epoch_scores: EpochScores, runs: Iterable[str], epochs: int) -> float:
    known = [top1 for run in runs if not isnan(top1 := epoch_scores.top1(run, epochs))]
    return sum(known) / len(known) if known else nan


def _of(frame: "pd.DataFrame", column: str) -> Mapping[int, list[str]]:
    groups = frame.groupby("configuration", sort=False)[column]
    return {number: [*runs.dropna().unique()] for number, runs in groups}


def _runs(frame: "pd.DataFrame") -> Mapping[int, list[str]]:
    """Configuration → all runs of its chains, each once."""
    found: dict[int, list[str]] = {number: [] for number in frame["configuration"].unique()}
    for column in (name for name in frame if name.startswith("run.")):
        for number, runs in _of(frame, column).items():
            found[number] += runs
    return found
