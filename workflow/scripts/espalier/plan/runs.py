"""A run: one stage with every setting resolved, one parent, one id."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property

from espalier.plan.settings import words
from espalier.plan.spec import PrepareStage, PruneStage, TrainStage
from espalier.registry import Spec


@dataclass(frozen=True)
class Run:
    """One stage of a chain. Its id is made from what determines its result and from nothing else."""

    stage: str
    spec: Spec
    parent: "Run | None" = None
    id: str = field(init=False)
    """ten hexadecimal digits over the stage, the settings that differ from their defaults, and the parent's id"""

    def __post_init__(self) -> None:
        settings = self.spec.model_dump(exclude_defaults=True, mode="json")
        identity = [self.stage, settings, self.parent.id if self.parent else None]
        text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        object.__setattr__(self, "id", hashlib.sha256(text.encode()).hexdigest()[:10])

    def __hash__(self) -> int:
        return hash(self.id)

    @cached_property
    def name(self) -> str:
        """``<slug>-<id>``: the run's folder, and its wildcard in the workflow."""
        return f"{self._slug}-{self.id}"

    @property
    def _slug(self) -> str:
        if isinstance(self.spec, PrepareStage):
            return self.spec.dataset.name
        if isinstance(self.spec, TrainStage):
            return f"{self.spec.model.name}-{self.spec.train.optimizer.name}-s{self.spec.seed}"
        if isinstance(self.spec, PruneStage):
            return f"{self.parent._slug}-{self.spec.control or self.spec.prune.name}"
        return self.parent._slug

    @cached_property
    def path(self) -> str:
        """The run's artifact, relative to the repository: a file for a data set, a folder for the rest."""
        if self.stage == "prepare":
            return f"results/data/{self.name}.safetensors"
        return f"results/runs/{self.stage}/{self.name}"

    @cached_property
    def words(self) -> list[str]:
        """The run's settings as the words of its command line."""
        return words(self.spec)

    @property
    def data(self) -> "Run":
        """The prepared data set at the head of the chain."""
        return self if self.parent is None else self.parent.data


def chain(specs: dict[str, Spec]) -> dict[str, Run]:
    """The runs of one point, each the parent of the next."""
    runs: dict[str, Run] = {}
    parent = None
    for stage, spec in specs.items():
        parent = runs[stage] = Run(stage, spec, parent)
    return runs
