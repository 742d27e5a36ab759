"""What a study's plan asks of results before it is whole: a step is a question, with the runs it reads and an answer.

An answer is a pure function of what it reads, and a file: whoever plans the study again, in a job or after a kill,
finds it there and asks nothing anew. Its name holds a digest of the question, so that another question finds no answer
of this one.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.errors import ArtifactError
from espalier.files import write_text
from espalier.plan.runs import Run
from espalier.plan.study import Study
from espalier.runs import record as records
from espalier.runs import seal
from espalier.search import halving, rung_file

if TYPE_CHECKING:
    from espalier.plan.build import PlannedStudy, Point

_DIGITS = 10


@dataclass(frozen=True)
class Step:
    """A question of a study."""

    study: str
    name: str
    asked: Mapping[str, Any]
    """all that its answer depends on beside the runs' own numbers"""
    needs: tuple[tuple[Run, int | None], ...]
    """runs whose scores are asked for, each after an epoch of its training, or None for its end"""

    @property
    def key(self) -> str:
        """Its name with the digest of the question."""
        text = json.dumps(self.asked, sort_keys=True, separators=(",", ":"))
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"

    @property
    def path(self) -> Path:
        """The file of its answer."""
        return Path("results/studies") / self.study / "answers" / f"{self.key}.json"

    def files(self) -> list[Path]:
        """What it reads: the records of runs, and the files of trainings that pause."""
        return [
            Path(run.path) / records.FILE if epochs is None else rung_file.path(run.name, epochs)
            for run, epochs in self.needs
        ]

    def told(self) -> str:
        """What is waited for, in words."""
        if "epochs" in self.asked:
            return f"which go on after epoch {self.asked['epochs']}, of {len(self.needs)} trainings of {self.study}"
        among = f"{len(self.asked['candidates'])} configurations of {self.asked['of']}"
        return f"the best of {among}, when their {len(self.needs)} runs have ended"

    def answered(self, root: Path = Path()) -> dict[str, Any] | None:
        """The answer; None where there is none yet.

        Raises:
            ArtifactError: the file holds something else.
        """
        path = root / self.path
        try:
            text = path.read_bytes().decode()
            found = json.loads(text)
            whole = seal.holds(text, found.pop(seal.KEY, None))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, AttributeError):
            whole = False
        if not whole or found.get("asked") != json.loads(json.dumps(self.asked)):
            raise ArtifactError(f"{path}: is no answer to what {self.study} asks; remove it, and it is asked again")
        return found

    def answer(self, root: Path = Path()) -> dict[str, Any]:
        """The answer, from the files that it reads.

        Raises:
            Mistake: one is missing or damaged.
        """
        metric = self.asked.get("by", "")
        scores = {
            run.name: _at_end(root / run.path, metric) if epochs is None else _paused(root / path)
            for (run, epochs), path in zip(self.needs, self.files(), strict=True)
        }
        candidates = [{"runs": runs, "scores": [scores[name] for name in runs]} for runs in self.asked["candidates"]]
        most = self.asked.get("best") or halving.count(len(candidates), Fraction(self.asked["keep"]))
        goes_on = halving.kept([each["scores"] for each in candidates], most)
        for each, kept in zip(candidates, goes_on, strict=True):
            each |= {"mean": halving.mean(each["scores"]), "kept": kept}
        return {"asked": dict(self.asked), "candidates": candidates}

    def write(self, path: Path, root: Path = Path()) -> None:
        """Write the answer."""
        write_text(path, seal.sealed(self.answer(root)))


def _paused(path: Path) -> float | None:
    """What a training is compared by at a rung, the larger the better; None of one that diverged."""
    found = rung_file.read(path)
    if found.best is None or found.outcome in (records.DIVERGED, records.NOT_RUN):
        return None
    return -found.best["validation_loss"] if found.select == "loss" else found.best[f"validation_{found.select}"]


def _at_end(folder: Path, metric: str) -> float | None:
    """What a run has measured, the larger the better; None of one that has no network."""
    record = records.complete(folder)
    if record.outcome != records.DONE:
        return None
    value = float(record.metrics[metric])
    return -value if metric.endswith("_loss") else value


def stepped(planned: "PlannedStudy", first: int, root: Path = Path()) -> "PlannedStudy":
    """The study with what its rungs have decided by now, and the first rung that is open.

    Args:
        first: how many points the rungs are of, from the first one on; others start from what was selected

    Raises:
        ArtifactError: the file of an answer holds something else.
    """
    asked = planned.study.halving
    if asked is None or not planned.points:
        return planned
    last = asked.epochs[-1]
    candidates, answers = _candidates(planned.points[:first]), ()
    for epochs in asked.epochs[:-1]:
        step = Step(
            planned.name,
            f"rung-{epochs}",
            {
                "epochs": epochs,
                "of": last,
                "keep": str(asked.part),
                "candidates": [[run.name for run in runs] for runs in candidates],
            },
            tuple((run, epochs) for runs in candidates for run in runs),
        )
        found = step.answered(root)
        if found is None:
            return replace(planned, answers=answers, pending=step)
        answers += (found,)
        candidates = [runs for runs, each in zip(candidates, found["candidates"], strict=True) if each["kept"]]
    return replace(planned, answers=answers)


def _candidates(points: "Sequence[Point]") -> list[list[Run]]:
    """The trainings of each configuration, one a repeat; configurations that share them are one candidate."""
    of: dict[tuple, list[Run]] = {}
    for point in points:
        of.setdefault(tuple(point.labels.values()), []).append(point.runs["train"])
    return [list(runs) for runs in dict.fromkeys(tuple(runs) for runs in of.values())]


def problems(study: Study, trainings: Sequence[Any]) -> Iterator[tuple[tuple, str, str]]:
    """Every (keys in the file, key path, message) of rungs that do not fit.

    Args:
        trainings: the section `train` of every configuration, each once a candidate
    """
    asked = study.halving
    if asked is None:
        return
    epochs, keys = asked.epochs, ("halving", "epochs")
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
    for rung_ in epochs[:-1]:
        if trainings and not (left := halving.count(left, asked.part)):
            message = f"of {len(trainings)} configurations none goes on after epoch {rung_}"
            yield ("halving", "keep"), "halving.keep", f"{message}; keep more"
            return
