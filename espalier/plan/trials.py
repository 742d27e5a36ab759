"""Trials: trainings that end themselves where others are better, each without waiting for the rest."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espalier.counted import counted
from espalier.plan.open_questions import OpenQuestion, digest
from espalier.plan.runs import Run
from espalier.plan.study import Study
from espalier.search import trial_file
from espalier.search.trial_file import Question

NAME = "trials"


@dataclass(frozen=True)
class TrialsQuestion(OpenQuestion):
    """Which configurations were trained to their end."""

    @property
    def trial_key(self) -> str:
        """The key of its trials. More candidates are compared with those that were there, by the same rule."""
        return f"trial-{digest({'study': self.study, 'rule': self.parameters['rule']})}"

    @property
    def question_path(self) -> Path:
        """The file that tells trainings of one another."""
        return self.path.with_suffix(".question")

    def files(self) -> list[Path]:
        """What it reads: the trials of the first seeds."""
        return [trial_file.path(run.name, self.trial_key) for run, _ in self.needs]

    def write_question(self, path: Path) -> None:
        """Write the file that tells trainings of one another."""
        Question(self.trial_key, self.parameters["rule"], [run.name for run, _ in self.needs]).write(path)

    def text(self) -> str:
        """What is waited for, in words."""
        ended = counted(len(self.needs), f"training of {self.study} has", f"trainings of {self.study} have")
        return f"when {ended} ended, those that none has stopped go on"

    def answer(self, root: Path = Path()) -> dict[str, Any]:
        """The candidates, with how their first seeds were compared, and whether these were trained to their end.

        Raises:
            Mistake: the file of a trial is missing or damaged.
        """
        candidates = []
        for runs, path in zip(self.parameters["candidates"], self.files(), strict=True):
            trial = trial_file.read(root / path)
            candidates.append(
                {
                    "runs": runs,
                    "looks": [[look.epoch, look.score, look.goes_on] for look in trial.looks],
                    "ended": [trial.ended_at, trial.epochs],
                    "mean": trial.score,
                    "kept": trial.finished,
                }
            )
        return {"asked": dict(self.parameters), "candidates": candidates}


def rule(study: Study) -> dict[str, Any] | None:
    """The rule by which a study's trainings stop early without waiting for one another; None where there is none."""
    if study.median_stopping:
        return {"name": "median", **study.median_stopping.model_dump()}
    if study.halving and not study.halving.wait:
        return {
            "name": "asynchronous halving",
            "epochs": list(study.halving.epochs[:-1]),
            "keep": str(study.halving.part),
        }
    return None


def question(study: str, stopping_rule: Mapping[str, Any], candidates: Sequence[Sequence[Run]]) -> TrialsQuestion:
    """The question of a study whose trainings end themselves.

    Args:
        asked: the rule
        candidates: the trainings of each configuration, one a seed; the first one decides for all
    """
    names = [[run.name for run in runs] for runs in candidates]
    firsts = tuple((runs[0], None) for runs in candidates)
    return TrialsQuestion(study, NAME, {"rule": dict(stopping_rule), "candidates": names}, firsts)


def is_trials(answer: Mapping[str, Any]) -> bool:
    """Whether it is the answer of trials."""
    return "rule" in answer["asked"]


def as_rungs(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The answer of trials as rungs: at each epoch where any was compared, who went on."""
    by_median = answer["asked"]["rule"]["name"] == "median"
    at: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for each in answer["candidates"]:
        ended, of = each["ended"]
        for epoch, score, goes_on in each["looks"]:
            # By the median every epoch is a rung, and says something where a training ends.
            if not (by_median and goes_on):
                at[epoch, of].append({"runs": each["runs"], "mean": score, "kept": goes_on})
        if not each["kept"] and (not each["looks"] or each["looks"][-1][2]):
            at[ended, of].append({"runs": each["runs"], "mean": None, "kept": False})
    for (epochs, of), candidates in sorted(at.items()):
        yield {"epochs": epochs, "of": of, "candidates": candidates}


def problems(study: Study, trainings: Iterable[Any]) -> Iterator[tuple[tuple, str, str]]:
    """Every (keys in the file, key path, message) of a median that stops nothing.

    Args:
        trainings: the section `train` of every configuration, each once a candidate
    """
    settings, all_ = study.median_stopping, list(trainings)
    if settings is None:
        return
    keys, key = ("median_stopping",), "median_stopping"
    if study.halving:
        yield keys, key, "halving ends trainings too; keep one of the two"
    if all_ and settings.finished >= len(all_):
        message = (
            f"of {counted(len(all_), 'configuration')} none is left when {settings.finished} have finished; lower it"
        )
        yield (*keys, "finished"), f"{key}.finished", message
    if all_ and settings.first >= (longest := max(train.epochs for train in all_)):
        yield (*keys, "first"), f"{key}.first", f"{settings.first} is no epoch before the last one, {longest}; lower it"
