"""The file of a trial: a training that is compared with others while it runs, its scores, and what was decided.

It is written before each decision, since others read it, and after: a training that is killed and taken up again
decides nothing anew. Its own SHA-256 stands in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from espalier.errors import Mistake
from espalier.files import write_text
from espalier.runs import record, seal
from espalier.search.rung_file import RUNGS

VERSION = 1
_MEND = "Remove it and call snakemake again, which writes it anew; no epoch is lost"
RUNNING, STOPPED = "running", "stopped"


@dataclass(frozen=True)
class Look:
    """A comparison at the end of an epoch."""

    epoch: int
    score: float
    """best validation so far, the larger the better: a top-1 in percent, or less the loss"""
    among: int
    """trainings that were compared, with this one"""
    bar: float | None
    """score of the last one that goes on, or the median; None where too few were there"""
    goes_on: bool


@dataclass(frozen=True)
class Trial:
    """A training as others are compared with it."""

    run: str
    """its id"""
    epochs: int
    """of the whole training"""
    outcome: str
    """`running`, `stopped`, or how its record says that it ended"""
    scores: Sequence[float]
    """best validation so far after each epoch, the larger the better"""
    looks: Sequence[Look]
    """what was decided, in the order of epochs"""

    @property
    def finished(self) -> bool:
        """Whether it was trained to its end."""
        return self.outcome == record.DONE

    @property
    def diverged(self) -> bool:
        """Whether it ended without a network."""
        return self.outcome in (record.DIVERGED, record.NOT_RUN)

    def at(self, epoch: int) -> float | None:
        """The score after an epoch, or the final one if the training finished earlier; None if it is not there yet."""
        if epoch <= len(self.scores):
            return self.scores[epoch - 1]
        return self.scores[-1] if self.finished else None

    @property
    def score(self) -> float | None:
        """The score at the end, or at the epoch that stopped the training; None if it diverged or has no epoch yet."""
        if self.diverged or not self.scores:
            return None
        return self.looks[-1].score if self.outcome == STOPPED else self.scores[-1]

    @property
    def ended_at(self) -> int:
        """The epoch at which it was stopped, else the last that it has trained."""
        return self.looks[-1].epoch if self.outcome == STOPPED else len(self.scores)


def path(run: str, key: str) -> Path:
    """Where the trial of a run lies, when it is over.

    Args:
        run: the name of its folder
        key: of the question by which it is stopped
    """
    return RUNGS / run / f"{key}.json"


def under_way(file: Path) -> Path:
    """The file that holds a trial while the training runs.

    It has another name than the final file, since Snakemake removes the outputs of a job that begins.
    """
    return file.with_suffix(".running")


def write(file: Path, trial: Trial) -> None:
    """Write a trial in one rename."""
    write_text(file, seal.sealed({"trial": VERSION, **asdict(trial)}))


def read(file: Path) -> Trial:
    """The trial in a file.

    Raises:
        Mistake: there is none, or it is not what was written.
    """
    content = seal.read(file, "its run has not been compared. Call snakemake", _MEND)
    if content.pop("trial", None) != VERSION:
        raise Mistake(f"{file}: it is no trial of version {VERSION}. {_MEND}")
    return Trial(**content | {"looks": [Look(**each) for each in content["looks"]]})


@dataclass(frozen=True)
class Question:
    """By what rule trainings end themselves, and which are compared."""

    key: str
    """of the trials: others are compared anew where the rule is another"""
    rule: Mapping[str, Any]
    candidates: Sequence[str]
    """names of the runs, in the order of the study"""

    def write(self, file: Path) -> None:
        """Write it in one rename."""
        write_text(file, seal.sealed(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> "Question":
        """The question in a file.

        Raises:
            Mistake: there is none, or it is not what was written.
        """
        return cls(**seal.read(file, "call snakemake, which writes it", _MEND))
