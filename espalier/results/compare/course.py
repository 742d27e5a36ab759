"""What a search has found by the epochs that it has spent, in an order that is defined and not that of the clock.

Without rungs, one configuration after the other, in the order of the study: what stands at any point is what a study of
fewer points would have found. With rungs, rung by rung: at each, all configurations that were trained so far.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import inf, isnan, nan
from typing import TYPE_CHECKING, NamedTuple

from espalier.results.read import rungs
from espalier.results.read.planned_study import Study
from espalier.results.read.standing import Standing

if TYPE_CHECKING:
    import pandas as pd


class Step(NamedTuple):
    """A configuration that was trained on, to a rung or to its end."""

    spent: int
    """epochs of all trainings up to here; those that configurations share are spent once"""
    configuration: int
    top1: float
    """its validation top-1 in percent, a mean over seeds; NaN where it has none"""
    best: float
    """that of the best of all configurations as they stand by now; NaN where none has any"""
    to: int | None
    """the epoch of the rung; None for its end"""
    left: bool
    """whether it goes on from here no more"""


def course(frame: "pd.DataFrame", history: "pd.DataFrame", study: Study) -> list[Step]:
    """Every step of a study's trainings, in the defined order; fine-tuning and extensions are epochs too."""
    found, scores, spent = [], {}, 0
    for epochs, number, top1, to, left in _trained(frame, history, study):
        spent += epochs
        scores[number] = top1
        best = max((score for score in scores.values() if not isnan(score)), default=nan)
        found.append(Step(spent, number, top1, best, to, left))
    return found


def spared(study: Study) -> int:
    """Epochs of training that would have been spent beside those that were, had no rung stopped a training."""
    return sum(stop.of - stop.epochs for stop in rungs.stops(study).values())


def _trained(
    frame: "pd.DataFrame", history: "pd.DataFrame", study: Study
) -> Iterator[tuple[int, int, float, int | None, bool]]:
    """Epochs that are spent, configuration, its top-1 after them, and the last two of a `Step`."""
    if "run.train" not in frame:
        return
    ended = set(frame.loc[frame["train_wall_s"].notna(), "run.train"])
    standing, counted = Standing(study, history, ended), Counter()
    stopped, compared = rungs.stops(study), rungs.compared(study)
    chains, trainings = _runs(frame), _of(frame, "run.train")
    stops = {number: stopped.get(runs[0]) for number, runs in trainings.items() if runs}

    def spend(runs: Iterable[str], up_to: float = inf) -> int:
        more = {run: max(0, int(min(up_to, standing.epochs(run))) - counted[run]) for run in runs}
        counted.update(more)
        return sum(more.values())

    for to in sorted({stop.epochs for stop in stopped.values()}):
        for number, runs in trainings.items():
            stop = stops.get(number)
            if compared.issuperset(runs) and (stop is None or stop.epochs >= to):
                top1 = [standing.top1(run, to) for run in runs]
                yield spend(runs, to), number, sum(top1) / len(top1), to, stop is not None and stop.epochs == to
    ends = frame.groupby("configuration", sort=False)["validation_top1"].mean()
    for number, runs in chains.items():
        if not stops.get(number):
            yield spend(runs), number, ends[number], None, True


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
