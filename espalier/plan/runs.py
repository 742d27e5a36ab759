"""A run: one stage with every setting resolved, one parent, perhaps a teacher, one id."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property

from espalier.data import stated
from espalier.runs import record as records
from espalier.settings.registry import Spec
from espalier.settings.words import words
from espalier.stages import STAGES

SCRIPT = "workflow/scripts/stage.py"
"""What makes a run, from the repository on."""


@dataclass(frozen=True)
class Run:
    """One stage of a chain. Its id is made from what determines its result and from nothing else."""

    stage: str
    spec: Spec
    parent: "Run | None" = None
    branches: "tuple[Run, ...]" = ()
    """runs beside the line of parents that an evaluation scores too"""
    stands_for: str = ""
    """id of the full run whose place a smoke run takes: keeps apart those that only cutting has made alike"""
    teacher: "Run | None" = None
    """the run whose answers it learns"""
    id: str = field(init=False)
    """ten hexadecimal digits over stage, settings that differ from their defaults, channels of a data set that are not
    three, and ids of the runs it reads"""

    def __post_init__(self) -> None:
        settings = self.spec.model_dump(exclude_defaults=True, mode="json")
        identity = [self.stage, settings, self.parent.id if self.parent else None]
        identity += [run.id for run in self.branches]
        # The same settings once meant three equal channels.
        if (dataset := getattr(self.spec, "dataset", None)) and (channels := stated.channels(dataset)) != stated.USUAL:
            identity += [{"channels": channels}]
        identity += [{"stands_for": self.stands_for}] if self.stands_for else []
        identity += [{"teacher": self.teacher.id}] if self.teacher else []
        text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        object.__setattr__(self, "id", hashlib.sha256(text.encode()).hexdigest()[: records.DIGITS])

    def __hash__(self) -> int:
        return hash(self.id)

    @cached_property
    def name(self) -> str:
        """``<slug>-<id>``: the run's folder, and its wildcard in the workflow."""
        return f"{self._slug}-{self.id}"

    @property
    def _slug(self) -> str:
        own = STAGES[self.stage].slug(self.spec)
        if self.parent is None or self.parent.parent is None:
            return own
        return f"{self.parent._slug}-{own}" if own else self.parent._slug

    @cached_property
    def path(self) -> str:
        """The run's artifact, relative to the repository: a file for a data set, a folder for the rest."""
        if self.parent is None:
            return f"results/data/{self.name}.safetensors"
        return f"results/runs/{self.stage}/{self.name}"

    @cached_property
    def command(self) -> list[str]:
        """The words of the command line that makes it, relative to the repository: its folder, what it reads, and its
        settings."""
        line = ["python", SCRIPT, self.stage, self.path]
        if self.parent is not None:
            before = [run.path for run in self.networks if run not in self.branches]
            line += ["--parents", *before] if before else []
            line += ["--branches", *(run.path for run in self.branches)] if self.branches else []
            line += ["--teacher", self.teacher.path] if self.teacher else []
            line += ["--data", self.data.path]
        return [*line, *self.words]

    @cached_property
    def words(self) -> list[str]:
        """The settings that differ from their defaults, as key=value."""
        return words(self.spec)

    @property
    def data(self) -> "Run":
        """The prepared data set at the head of the chain."""
        return self if self.parent is None else self.parent.data

    @property
    def networks(self) -> "list[Run]":
        """The runs before this one whose networks it may read, from the first of the chain, then the branches."""
        line: list[Run] = []
        run = self.parent
        while run is not None and run.parent is not None:
            line.append(run)
            run = run.parent
        return [*reversed(line), *self.branches]

    @property
    def before(self) -> "list[Run]":
        """All runs that must have ended before this one: those whose networks it may read, and its teacher."""
        return [*self.networks, *([self.teacher] if self.teacher else [])]

    @property
    def teachers(self) -> "list[Run]":
        """Its teacher, after the teacher of that."""
        return [*self.teacher.teachers, self.teacher] if self.teacher else []
