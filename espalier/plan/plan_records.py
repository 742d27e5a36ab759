"""Which runs of a plan are complete on disk, and which cannot be used.

Records alone decide; modification times and Snakemake's metadata do not count.
"""

from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path

from espalier.counted import counted
from espalier.data import header
from espalier.errors import DataError, Mistake
from espalier.plan.build import Plan
from espalier.plan.runs import Run
from espalier.runs import record as records
from espalier.runs.record import DIVERGED, NOT_RUN, Record

_SHOWN = 10
"""Problems that a message holds."""


class PlanRecords:
    """The records of a plan's runs, each read once, when it is asked for.

    Args:
        root: what the paths of the plan are relative to
    """

    def __init__(self, plan: Plan, root: Path = Path()):
        self._plan, self._root = plan, Path(root)
        self._known: dict[Run, Record | Mistake | None] = {}

    def record(self, run: Run) -> Record | None:
        """The record of a run; None where there is none, or where it is damaged."""
        found = self._found(run)
        return None if isinstance(found, Mistake) else found

    def complete(self, run: Run) -> bool:
        """Whether a run is complete, so that no job makes it."""
        return (self._root / run.path).exists() if run.parent is None else self._found(run) is not None

    def unmade(self) -> list[Run]:
        """The runs of the plan that are not complete."""
        return [run for runs in self._plan.runs.values() for run in runs.values() if not self.complete(run)]

    def message(self) -> str:
        """The problems as one message, with the command that mends all of them."""
        lines = list(self.problems.values())
        more = [f"… and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        runs = counted(len(lines), "run that lies here", "runs that lie here")
        head = f"{runs} cannot be used, and nothing is made over {'it' if len(lines) == 1 else 'them'}:"
        return "\n".join([head, *lines[:_SHOWN], *more, "All of them at once: espalier forget --stale"])

    @cached_property
    def problems(self) -> dict[Run, str]:
        """Run → a message, for each run whose files on disk cannot be used.

        The record is damaged; the data or networks that the run was made from have changed since; or a file is gone
        that a run still to be made needs. Such a run is not used, and nothing is made over it: the message says what to
        do.
        """
        found = {}
        for run in (run for runs in self._plan.runs.values() for run in runs.values() if run.parent):
            known = self._found(run)
            if isinstance(known, Mistake):
                found[run] = str(known)
            elif known is None:
                found |= dict(self._missing_networks(run))
            elif why := next(self._changes(run, known), None):
                found[run] = f"{run.path}: {why}. {records.mend(Path(run.path))}"
        return found

    def _found(self, run: Run) -> Record | Mistake | None:
        if run not in self._known:
            try:
                found = records.read(self._root / run.path)
                if found:
                    found.metrics  # noqa: B018 (its bytes are verified; those of networks when they are loaded)
                self._known[run] = found
            except Mistake as error:
                self._known[run] = error
        return self._known[run]

    def _changes(self, run: Run, record: Record) -> Iterator[str]:
        """What the run has read and is another now."""
        read = record.content["data"]["checksum"]
        if read and (here := self._checksum(run.data.path)) not in (None, read):
            yield f"it was made of other data than {run.data.path} holds now (SHA-256 {read[:10]}…, now {here[:10]}…)"
        folders = {Path(each.path).name: each for each in run.before}
        for name, sha256 in record.read.items():
            folder, _, file = name.rpartition("/")
            if folder in folders:
                parent = self.record(folders[folder])
                if parent and parent.outcome == records.DONE and parent.written.get(file) != sha256:
                    yield f"it was made of another {folders[folder].path}/{file} than lies there now"
            elif (here := self._sha256(name)) not in (None, sha256):
                yield f"it was made of another {name} than lies there now"
        known = [parent for parent in map(self.record, run.before) if parent]
        lost = [parent for parent in known if parent.outcome in (DIVERGED, NOT_RUN)]
        if record.outcome == NOT_RUN and not lost and len(known) == len(run.before):
            yield f"it was {NOT_RUN} ({record.reason}), and all that it reads is there now"
        if record.outcome != NOT_RUN and lost:
            yield f"it was made of a network of {lost[0].folder}, which now has none ({lost[0].outcome})"

    def _missing_networks(self, run: Run) -> Iterator[tuple[Run, str]]:
        """Runs before one that is still to be made, whose networks are gone."""
        for parent in run.before:
            record = self.record(parent)
            missing = [name for name in (record.written if record else ()) if not self._exists(parent, name)]
            if missing:
                why = f"is gone, and {run.path} is still to be made of it"
                yield parent, f"{parent.path}/{missing[0]}: {why}. {records.mend(Path(parent.path))}"

    @cache  # noqa: B019 (one object a call)
    def _exists(self, run: Run, name: str) -> bool:
        return (self._root / run.path / name).exists()

    @cache  # noqa: B019
    def _checksum(self, path: str) -> str | None:
        """The checksum that a prepared file states; None where there is no such file."""
        try:
            return header.read(self._root / path)["checksum"] if (self._root / path).exists() else None
        except (DataError, KeyError):
            # Whoever loads it says what is wrong with it.
            return None

    @cache  # noqa: B019
    def _sha256(self, path: str) -> str | None:
        try:
            return records.sha256(self._root / path)
        except OSError:
            return None
