"""The words for a run: the configuration that it serves, or what those have in common that share it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from espalier.results.read import planned_study
from espalier.results.read.planned_study import Study


@dataclass(frozen=True, slots=True)
class Served:
    """What of one study a run serves."""

    study: str
    configurations: set[int] = field(default_factory=set)
    seeds: set[int] = field(default_factory=set)


class Names:
    """Names of the runs of a call's studies."""

    def __init__(self, studies: Iterable[Study]):
        studies = list(studies)
        self._several = len(studies) > 1
        self._repeated = {study["study"]: study["repeats"] > 1 for study in studies}
        self.of_configurations = {study["study"]: planned_study.short_names(study) for study in studies}
        self._changes = {study["study"]: planned_study.changes(study) for study in studies}
        self._baseline = {study["study"]: planned_study.baseline_number(study) for study in studies}
        self._served: dict[str, Served] = {}
        self._teachers: set[str] = set()
        self._data: set[str] = set()
        for study in studies:
            self._read(study)

    @property
    def longest(self) -> int:
        """Letters of the longest name of a run."""
        return max(map(len, map(self.of, self._served)), default=0)

    def of(self, run: str) -> str:
        """The name of a run in the terminal, from the labels that tell its configuration from the baseline.

        A run that several configurations share is named by the labels that all of them have. A data set, a teacher, and
        a run that is in no plan keep the name of their folder.

        Args:
            run: the name of its folder
        """
        if run not in self._served or run in self._data:
            return f"teacher {run}" if run in self._teachers else run
        served = self._served[run]
        changes = [self._changes[served.study][number] for number in sorted(served.configurations)]
        common = [label for label in changes[0] if all(label in others for others in changes[1:])]
        if len(changes) == 1:
            (number,) = served.configurations
            words = self.of_configurations[served.study][number]
        elif common:
            words = ", ".join(common)
        else:
            with_baseline = self._baseline[served.study] in served.configurations
            words = "baseline" if with_baseline else f"{len(changes)} configurations"
        if self._repeated[served.study] and len(served.seeds) == 1:
            words += f", seed {next(iter(served.seeds))}"
        return self.with_study(served.study, words)

    def first(self, run: str) -> tuple[str, int] | None:
        """The study and the number of the first configuration that has a run; None of one that none has."""
        served = self._served.get(run)
        return (served.study, min(served.configurations)) if served else None

    def with_study(self, study: str, words: str) -> str:
        """The words, after the name of the study where the call has several."""
        return f"{study}: {words}" if self._several else words

    def _read(self, study: Study) -> None:
        numbers = planned_study.configurations(study)
        names = {id_: Path(run["path"]).name.removesuffix(".safetensors") for id_, run in study["runs"].items()}
        seeds = {id_: run["settings"].get("seed") for id_, run in study["runs"].items()}
        mine: dict[str, Served] = defaultdict(lambda: Served(study["study"]))
        for point in study["points"]:
            number = numbers[planned_study.labels(study, point)]
            found = (seed for id_ in point["runs"].values() if (seed := seeds[id_]) is not None)
            seed = next(found, point["repeat"])
            for name in (names[id_] for id_ in point["runs"].values()):
                mine[name].configurations.add(number)
                mine[name].seeds.add(seed)
        self._data |= {names[id_] for id_, run in study["runs"].items() if run["stage"] == "prepare"}
        self._teachers |= set(names.values()) - set(mine)
        # A run of several studies is called as in the first.
        self._served = {**mine, **self._served}
