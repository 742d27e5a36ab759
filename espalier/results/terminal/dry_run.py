"""What a dry run says: each configuration once, with the runs to make of it."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from logging import LogRecord
from typing import NamedTuple

from espalier.counted import counted
from espalier.results.read.planned_study import Study
from espalier.results.terminal.call_report import NOISE, SILENT
from espalier.results.terminal.names import Names
from espalier.stages import STAGES

SHOWN = 60
"""Configurations that are listed."""
_HEAD = "To make, by configuration; a run that several share stands with the first of them:"
_REST = "Each job with its files, its command and why it is made: snakemake -n -p"


class Made(NamedTuple):
    """A run that a call would make."""

    stage: str
    name: str
    """of its folder"""


class DryRun:
    """Tells the records of a dry run's loggers, as text for the terminal."""

    def __init__(self, studies: Iterable[Study]):
        self._names = Names(studies)
        self._runs: list[Made] = []
        self._counted = False

    def __call__(self, record: LogRecord) -> str | None:
        """The text for a record: empty where it is left out, None where Snakemake's own words are shown."""
        event = getattr(record, "event", None)
        if event in SILENT:
            return ""
        if event == "job_info":
            if record.rule_name in STAGES:
                self._runs.append(Made(record.rule_name, str(record.wildcards["run"])))
            return ""
        if event == "run_info":
            # Snakemake counts its jobs a second time after it has listed them.
            first, self._counted = not self._counted, True
            return None if first else self.listing()
        message = record.getMessage()
        return "" if event is None and (NOISE.fullmatch(message) or message.startswith("Reasons:")) else None

    def listing(self) -> str:
        """A line for each configuration: its name, its runs to make a stage, and the last of its first chain."""
        of: dict[tuple[str, int] | None, list[Made]] = defaultdict(list)
        for run in self._runs:
            of[self._names.first(run.name)].append(run)
        others = of.pop(None, [])
        if not of:
            return _REST
        order = {study: place for place, study in enumerate(self._names.of_configurations)}
        chosen = sorted(of, key=lambda key: (order[key[0]], key[1]))
        rows = [(self._words(*key), _counts(of[key]), _last(of[key])) for key in chosen[:SHOWN]]
        rows += [("teachers", _counts(others), _last(others))] if others else []
        name, counts = (max(len(row[column]) for row in rows) for column in (0, 1))
        lines = [f"  {row[0]:<{name}}  {row[1]:<{counts}}  {row[2]}" for row in rows]
        if rest := chosen[SHOWN:]:
            made = _counts([run for key in rest for run in of[key]])
            lines.append(f"  … and {counted(len(rest), 'more configuration')}: {made}")
        return "\n".join([_HEAD, *lines, _REST])

    def _words(self, study: str, number: int) -> str:
        return self._names.with_study(study, self._names.of_configurations[study][number])


_PLACE = {stage: place for place, stage in enumerate(STAGES)}


def _counts(runs: list[Made]) -> str:
    counts = Counter(run.stage for run in runs)
    return ", ".join(f"{stage} {counts[stage]}" for stage in sorted(counts, key=_PLACE.__getitem__))


def _last(runs: list[Made]) -> str:
    """The last run of a chain, the first of them by name: names end in the seed."""
    last = min(runs, key=lambda run: (-_PLACE[run.stage], run.name))
    return f"{last.stage}/{last.name}"
