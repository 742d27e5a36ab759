"""A run: one stage with every setting resolved, one parent, one id."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from espalier.plan.spec import BRANCHES, PrepareStage, PruneStage, QuantizeStage, TrainStage
from espalier.settings.registry import Spec
from espalier.settings.words import words

_WEIGHTS = "model.safetensors"
_NETWORK = {"train": _WEIGHTS, "prune": _WEIGHTS, "quantize": _WEIGHTS, "export": "fp32.onnx", "encode": "model.esp"}


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
    id: str = field(init=False)
    """ten hexadecimal digits over stage, settings that differ from their defaults, and ids of the runs it reads"""

    def __post_init__(self) -> None:
        settings = self.spec.model_dump(exclude_defaults=True, mode="json")
        identity = [self.stage, settings, self.parent.id if self.parent else None]
        identity += [run.id for run in self.branches]
        identity += [{"stands_for": self.stands_for}] if self.stands_for else []
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
        if isinstance(self.spec, QuantizeStage):
            kept = self.spec.quantize.kept()
            return f"{self.parent._slug}-w{kept.weight_bits}a{kept.activation_bits}"
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

    @cached_property
    def options(self) -> list[str]:
        """The runs that it reads, as options of its command line."""
        if self.parent is None or self.parent.parent is None:
            return []
        line = [run.path for run in self.networks if run not in self.branches]
        words = ["--parent", line[-1]]
        if self.stage == "encode":
            words += ["--original", line[0]]
        if self.stage in ("export", "evaluate") and len(line) > 1:
            words += ["--before", *line[:-1]]
        if self.branches:
            words += ["--branches", *(run.path for run in self.branches)]
        return words

    @property
    def data(self) -> "Run":
        """The prepared data set at the head of the chain."""
        return self if self.parent is None else self.parent.data

    @property
    def files(self) -> list[str]:
        """What tells others that the artifact is whole: weights are deleted to make room, run.json is written last."""
        return [f"{self.path}/{name}" for name in (_NETWORK[self.stage], "run.json")]

    @property
    def networks(self) -> "list[Run]":
        """The runs before this one whose networks it may read, from the first of the chain, then the branches."""
        line: list[Run] = []
        run = self.parent
        while run is not None and run.parent is not None:
            line.append(run)
            run = run.parent
        return [*reversed(line), *self.branches]


def chain(specs: dict[str, Spec], full: Mapping[str, Run] | None = None) -> dict[str, Run]:
    """The runs of one point, each the parent of the next; a branch has a parent and is none.

    Args:
        full: the runs whose places these smoke runs take
    """
    runs: dict[str, Run] = {}
    parent = None
    for stage, spec in specs.items():
        branches = tuple(runs[name] for name in BRANCHES if name in runs) if stage == "evaluate" else ()
        runs[stage] = Run(stage, spec, parent, branches, full[stage].id if full else "")
        if stage not in BRANCHES:
            parent = runs[stage]
    return runs
