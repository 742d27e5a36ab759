"""What a study's plan asks of results before it is whole: an open question, with the runs it reads and an answer.

An answer is a pure function of what it reads, and a file: whoever plans the study again, in a job or after a kill,
finds it there and asks nothing anew. Its name holds a digest of the question, so that another question finds no answer
of this one.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from espalier.errors import ArtifactError, Mistake
from espalier.files import write_text
from espalier.plan.runs import Run
from espalier.runs import record as records
from espalier.runs import seal
from espalier.search import rung_file

_DIGITS = 10


@dataclass(frozen=True)
class OpenQuestion(ABC):
    """A question of a study."""

    adds_points: ClassVar[bool] = False
    """whether the study has more points once it is answered"""

    study: str
    name: str
    parameters: Mapping[str, Any]
    """all that its answer depends on beside the runs' own numbers"""
    needs: tuple[tuple[Run, int | None], ...]
    """runs whose scores are asked for, each after an epoch of its training, or None for its end"""

    @property
    def key(self) -> str:
        """Its name with the digest of the question."""
        return f"{self.name}-{digest(self.parameters)}"

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

    @abstractmethod
    def text(self) -> str:
        """What is waited for, in words."""

    @abstractmethod
    def answer(self, root: Path = Path()) -> dict[str, Any]:
        """The answer, from the files that it reads; `asked` is a part of it.

        Raises:
            Mistake: one is missing or damaged.
        """

    def saved_answer(self, root: Path = Path()) -> dict[str, Any] | None:
        """The answer; None where there is none yet.

        Raises:
            ArtifactError: the file holds something else.
        """
        path = root / self.path
        if not path.exists():
            return None
        mend = "remove it, and it is asked again"
        try:
            found = seal.read(path, mend, mend)
        except Mistake:
            found = {}
        if found.get("asked") != json.loads(json.dumps(self.parameters)):
            raise ArtifactError(f"{path}: is no answer to what {self.study} asks; {mend}")
        return found

    def write(self, path: Path, root: Path = Path()) -> None:
        """Write the answer."""
        write_text(path, seal.sealed(self.answer(root)))


def digest(parameters: Mapping[str, Any]) -> str:
    """A short fingerprint of a question."""
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
