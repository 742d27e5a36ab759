"""What a stage is: one function with facts, in one file of this room.

The command line, the rule's files, the columns of the metrics, the keys of a study and the commands on pages are
derived from these facts. docs/extending.md says what they do not cover.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from espalier.settings.registry import Spec

Misfits = Iterator[tuple[str, str]]
"""Every (key path, message) of settings that are each legal and do not fit together."""


@dataclass(frozen=True)
class Outcome:
    """The result of a stage, from which the frame writes the run's record and metrics after the stage's own files."""

    row: Mapping[str, Any]
    """the stage's columns of metrics.csv"""
    said: str
    """the last line of the log"""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """what else run.json tells: params, macs, resumed, …"""
    files: tuple[str, ...] = ()
    """files that this run has written beside those that every run of its stage writes"""


def _none(settings: Any) -> Misfits:
    yield from ()


@dataclass(frozen=True)
class Stage:
    """A registered stage."""

    function: Callable[..., Outcome | None]
    """what is called: the run at work, then its settings"""
    place: int
    """where it stands in a chain; a lower number comes first"""
    settings: type[Spec]
    """the sections of a study that it reads; left out of chains where one of them has its name and is null"""
    reads: Literal["source", "data", "network"]
    """source files of a data set; the prepared data alone; or the network of the run before it too"""
    splits: tuple[str, ...] = ("train", "validation")
    """splits of the prepared data that it reads; test is for `evaluate` alone"""
    network: str | None = None
    """the file with the network that it makes, which later stages read; None where it makes none"""
    files: tuple[str, ...] = ()
    """what it writes beside its network and the record that every run has, in every run"""
    columns: tuple[str, ...] = ()
    """columns of metrics.csv, beside those that every run has"""
    training: str | None = None
    """key path of the section that says how it trains; None where it never does"""
    gpu: bool = False
    """whether it is worth a GPU"""
    resumable: bool = False
    """whether it saves its state and goes on from it"""
    pausable: bool = False
    """whether it can pause at the end of an epoch; it then trains by the section `train` and writes history.csv"""
    branch: bool = False
    """whether its network is beside the chain, for stages that score it, and not the next one's"""
    scores_chain: bool = False
    """whether it reads the networks of all runs before it, branches too"""
    slug: Callable[[Any], str] = lambda settings: ""
    """what the names of its runs' folders say of its settings, behind those of the runs before"""
    misfits: Callable[[Any], Misfits] = _none
    """what is wrong with settings that are each legal, found before any job"""

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def doc(self) -> str:
        """The first line of the function's docstring."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]

    @property
    def optional(self) -> bool:
        """Whether chains may leave it out: the section of its name may be null, and is unless a study sets it."""
        section = self.settings.model_fields.get(self.name)
        return section is not None and section.default is None

    @property
    def changes(self) -> bool:
        """Whether the network that a chain ends with is another one after it."""
        return self.reads != "source" and self.network is not None and not self.branch

    @property
    def written(self) -> tuple[str, ...]:
        """All files of a run's folder that every run has, in the order in which they are written; run.json last."""
        return (*((self.network,) if self.network else ()), *self.files, "metrics.csv", "run.json")

    @property
    def metrics(self) -> tuple[str, ...]:
        """The columns of metrics.csv."""
        return ("run", "parent", *self.columns, "wall_s", "cpu_s", "peak_memory_mib")

    def __call__(self, *args: Any, **settings: Any) -> Outcome | None:
        return self.function(*args, **settings)


def stage(**facts: Any) -> Callable[[Callable], Stage]:
    """Make a function a stage; `facts` are the fields of `Stage`."""
    return lambda function: Stage(function, **facts)
