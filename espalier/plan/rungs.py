"""Rungs: trainings that are compared after some epochs, of which the better go on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.counted import counted
from espalier.plan import trials
from espalier.plan.open_questions import OpenQuestion
from espalier.plan.runs import Run
from espalier.plan.study import Study
from espalier.runs import record as records
from espalier.search import halving, rung_file

if TYPE_CHECKING:
    from espalier.plan.build import PlannedStudy, Point


class RungQuestion(OpenQuestion):
    """Which configurations go on after an epoch."""

    def text(self) -> str:
        """What is waited for, in words."""
        count, most = len(self.parameters["candidates"]), self._most()
        there = counted(len(self.needs), f"training of {self.study} has", f"trainings of {self.study} have")
        there += f" reached epoch {self.parameters['epochs']}"
        return f"when {there}, the best {most} of {counted(count, 'configuration')} {'goes' if most == 1 else 'go'} on"

    def answer(self, root: Path = Path()) -> dict[str, Any]:
        """The candidates, with their scores, and who goes on.

        Raises:
            Mistake: the file of a rung is missing or damaged.
        """
        scores = {run.name: _score(root / rung_file.path(run.name, epochs)) for run, epochs in self.needs}
        return {
            "asked": dict(self.parameters),
            "candidates": with_scores(self.parameters["candidates"], scores, self._most()),
        }

    def _most(self) -> int:
        """How many configurations go on."""
        return halving.count(len(self.parameters["candidates"]), Fraction(self.parameters["keep"]))


def with_scores(candidates: Sequence[Sequence[str]], scores: Mapping[str, float | None], most: int) -> list[dict]:
    """Candidates with their scores, the mean of these, and whether each is one of the best.

    Args:
        candidates: the runs of each, one a repeat
        scores: of each run, the larger the better; None of one that has none
        most: how many are kept
    """
    found = [{"runs": runs, "scores": [scores[name] for name in runs]} for runs in candidates]
    for each, kept in zip(found, halving.kept([each["scores"] for each in found], most), strict=True):
        each |= {"mean": halving.mean(each["scores"]), "kept": kept}
    return found


def _score(path: Path) -> float | None:
    """The score of a training at a rung, larger is better; None of one that diverged or was not run."""
    found = rung_file.read(path)
    if found.best is None or found.outcome in (records.DIVERGED, records.NOT_RUN):
        return None
    return -found.best["validation_loss"] if found.select == "loss" else found.best[f"validation_{found.select}"]


def with_answers(planned: "PlannedStudy", first: int, root: Path = Path()) -> "PlannedStudy":
    """A planned study with the answers of its rungs so far, and with the first rung that is still open as `pending`.

    Args:
        first: how many points, from the first one on, the rungs compare; later points start from a selection

    Raises:
        ArtifactError: the file of an answer is damaged, or answers another question.
    """
    settings, ends_itself = planned.study.halving, trials.rule(planned.study)
    if not planned.points or (settings is None and ends_itself is None):
        return planned
    candidates, answers = _candidates(planned.points[:first]), ()
    if ends_itself:
        question = trials.question(planned.name, ends_itself, candidates)
        found = question.saved_answer(root)
        return replace(planned, pending=question) if found is None else replace(planned, answers=(found,))
    last = settings.epochs[-1]
    for epochs in settings.epochs[:-1]:
        question = RungQuestion(
            planned.name,
            f"rung-{epochs}",
            {
                "epochs": epochs,
                "of": last,
                "keep": str(settings.part),
                "candidates": [[run.name for run in runs] for runs in candidates],
            },
            tuple((run, epochs) for runs in candidates for run in runs),
        )
        found = question.saved_answer(root)
        if found is None:
            return replace(planned, answers=answers, pending=question)
        answers += (found,)
        candidates = [runs for runs, each in zip(candidates, found["candidates"], strict=True) if each["kept"]]
    return replace(planned, answers=answers)


def ends_early(study: Study) -> bool:
    """Whether not all of a study's trainings come to their end."""
    return bool(study.halving or study.median_stopping)


def lines(planned: "PlannedStudy") -> Iterator[str]:
    """How the trainings of a study end before their time, and what its plan waits for, as lines of text."""
    settings, study = planned.study.halving, planned.study
    mean = "" if study.times == 1 else f", the mean of {study.times} seeds"
    if settings and planned.points:
        if settings.wait:
            first = next((one["asked"] for one in planned.answers if "keep" in one["asked"]), None)
            first = first or getattr(planned.pending, "parameters", {})
            left, parts = len(first.get("candidates", ())), []
            for epochs in settings.epochs:
                parts.append(f"{left} to epoch {epochs}")
                left = halving.count(left, settings.part)
            yield f"halving: configurations {', '.join(parts)}, the best by validation{mean}"
        else:
            epochs = ", ".join(map(str, settings.epochs[:-1]))
            yield f"halving: the best {settings.keep} by validation go on after epochs {epochs}, compared as they come"
    if study.median_stopping and planned.points:
        least = study.median_stopping.finished
        yield f"a training ends where it is below the median of those that have finished, {least} at least"
    if planned.pending:
        yield f"planned so far; {planned.pending.text()}"


def _candidates(points: "Sequence[Point]") -> list[list[Run]]:
    """The trainings of each configuration, one a repeat; configurations that share them are one candidate."""
    of: dict[tuple, list[Run]] = {}
    for point in points:
        of.setdefault(tuple(point.labels.values()), []).append(point.runs["train"])
    return [list(runs) for runs in dict.fromkeys(tuple(runs) for runs in of.values())]


def decisions(answers: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what was decided at every rung of a study: its epoch, the epochs of a whole training, its candidates."""
    for answer in answers:
        if trials.is_trials(answer):
            yield from trials.as_rungs(answer)
        elif "epochs" in answer["asked"]:
            yield {**{key: answer["asked"][key] for key in ("epochs", "of")}, "candidates": answer["candidates"]}


def dropped(answers: Iterable[Mapping[str, Any]]) -> set[str]:
    """Names of the trainings that go on no more."""
    candidates = (each for rung in decisions(answers) for each in rung["candidates"])
    return {name for each in candidates if not each["kept"] for name in each["runs"]}


def problems(study: Study, trainings: Sequence[Any]) -> Iterator[tuple[tuple, str, str]]:
    """Every (keys in the file, key path, message) of rungs that do not fit.

    Args:
        trainings: the section `train` of every configuration, each once a candidate
    """
    settings = study.halving
    if settings is None:
        return
    epochs, keys = settings.epochs, ("halving", "epochs")
    if any(later <= earlier for earlier, later in pairwise(epochs)):
        yield keys, "halving.epochs", f"rungs rise, and {', '.join(map(str, epochs))} do not"
        return
    for wrong in dict.fromkeys(train.epochs for train in trainings if train.epochs != epochs[-1]):
        yield keys, "halving.epochs", f"the last rung is the whole training: {epochs[-1]} is not train.epochs {wrong}"
    soon = [train for train in trainings if train.early_stopping and train.early_stopping.patience < epochs[0]]
    if soon:
        patience = soon[0].early_stopping.patience
        message = f"early stopping with patience {patience} may end a training before the first rung at {epochs[0]}"
        yield ("halving",), "halving", f"{message}; leave one of the two out"
    left = len(trainings)
    # Without waiting the best of those that are there goes on, however few they are.
    for rung_ in epochs[:-1] if settings.wait else ():
        if trainings and not (left := halving.count(left, settings.part)):
            message = f"of {counted(len(trainings), 'configuration')} none goes on after epoch {rung_}"
            yield ("halving", "keep"), "halving.keep", f"{message}; keep more"
            return
