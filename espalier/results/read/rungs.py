"""Reads from a study's plan which trainings were stopped early, and where."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from espalier.results.read.planned_study import Study, configurations, labels
from espalier.results.read.run_state import STOPPED, State

if TYPE_CHECKING:
    import pandas as pd


class Stop(NamedTuple):
    """Where a configuration ended."""

    epochs: int
    of: int
    score: float | None
    """mean of its seeds there, as validation chooses: top-1 in percent, or less the loss; None where one diverged"""

    def words(self) -> str:
        """``stopped at 3 of 27``."""
        return f"stopped at {self.epochs} of {self.of}"


def stops(study: Study) -> dict[str, Stop]:
    """Training's id → where it ended; of a study without rungs nothing."""
    found = {}
    for rung in study.get("rungs", ()):
        for each in rung["candidates"]:
            if not each["kept"]:
                stop = Stop(rung["epochs"], rung["of"], each["mean"])
                found |= dict.fromkeys(each["runs"], stop)
    return found


def compared_trainings(study: Study) -> set[str]:
    """Ids of the trainings that rungs have compared; what follows from a selection is not among them."""
    return {run for rung in study.get("rungs", ()) for each in rung["candidates"] for run in each["runs"]}


def reached_by_all(study: Study) -> int | None:
    """The earliest epoch at which a training was stopped for its score; None where none was.

    Every training that did not diverge has reached it, so that all of them can be compared there.
    """
    return min((stop.epochs for stop in stops(study).values() if stop.score is not None), default=None)


def waits(study: Study) -> bool:
    """Whether halving compares all trainings at once at each rung; False where each is compared when it arrives."""
    return "halving" in study and study["halving"].get("wait", True)


def whose(study: Study) -> str:
    """Whose scores are compared at a rung, as a caption begins."""
    return "Means over seeds" if waits(study) else "Scores of the first seed, at the end means over seeds,"


def of_point(point: Mapping[str, Any], known: Mapping[str, Stop]) -> Stop | None:
    """Where the chain of a point ended; None where it goes on."""
    return known.get(point["runs"]["train"])


def of_configurations(study: Study) -> dict[int, Stop]:
    """Number of a configuration → where it ended; none that goes on."""
    known, numbers = stops(study), configurations(study)
    found = ((numbers[labels(study, point)], of_point(point, known)) for point in study["points"])
    return {number: stop for number, stop in found if stop}


def mark_stopped(study: Study, states: Mapping[str, State]) -> dict[str, State]:
    """The states of a study's runs, those that are never to be made told as stopped.

    A run that is made all the same, since another study asks for it, keeps its state.
    """
    known = stops(study)
    if not known:
        return dict(states)
    go_on = {id_ for point in study["points"] if not of_point(point, known) for id_ in _all(study, point)}
    found = dict(states)
    for point in study["points"]:
        if stop := of_point(point, known):
            for id_ in point["runs"].values():
                if id_ not in go_on and found[id_].name in _OPEN:
                    found[id_] = replace(found[id_], name=STOPPED, why=stop.words())
    return found


_OPEN = ("waiting", "paused")


def _all(study: Study, point: Mapping[str, Any]) -> list[str]:
    """The runs of a chain and their teachers."""
    own = list(point["runs"].values())
    return own + [teacher for id_ in own if (teacher := study["runs"][id_].get("teacher"))]


def rung_scores(frame: "pd.DataFrame", study: Study) -> "tuple[pd.DataFrame, list[int]]":
    """Scores at the rungs, and the rungs' epochs in ascending order.

    The table has a row a configuration: `epoch_<n>` for each rung and for the end, a mean over its seeds, and
    `stopped_at` (epochs). What is not known yet is missing.
    """
    import pandas as pd

    decided = study.get("rungs", ())
    at = {
        (run, rung["epochs"]): each["mean"] for rung in decided for each in rung["candidates"] for run in each["runs"]
    }
    last = study["halving"]["epochs"] if "halving" in study else []
    groups = frame.groupby("configuration", sort=False)
    first = groups["run.train"].first()
    data = pd.DataFrame(index=first.index)
    for epochs in last[:-1]:
        data[f"epoch_{epochs}"] = [at.get((run, epochs)) for run in first]
    if last:
        data[f"epoch_{last[-1]}"] = groups["validation_top1"].mean()
    stopped = stops(study)
    data["stopped_at"] = [stopped[run].epochs if run in stopped else None for run in first]
    return data.astype(float), list(last)
