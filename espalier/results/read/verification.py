"""Every file of a plan's runs held against its digest."""

from dataclasses import dataclass
from pathlib import Path

from espalier.counted import counted
from espalier.errors import Mistake
from espalier.plan.build import Plan
from espalier.plan.plan_records import PlanRecords
from espalier.plan.runs import Run
from espalier.runs.record import Record


@dataclass(frozen=True)
class Verification:
    """What a verification read, and the files whose content is not what was written."""

    runs: int
    files: int
    incomplete: int
    wrong: tuple[str, ...]

    def text(self) -> str:
        read = f"{counted(self.files, 'file')} of {counted(self.runs, 'complete run')}"
        head = f"{read} were read; {counted(self.incomplete, 'run is', 'runs are')} not complete"
        return "\n".join([*self.wrong, f"{head}; {len(self.wrong) or 'nothing'} wrong"])


def verified(plan: Plan, standing: PlanRecords) -> Verification:
    """Read all files of the complete runs and the prepared data of a plan."""
    wrong = list(standing.problems.values())
    runs = files = incomplete = 0
    for run in (run for found in plan.runs.values() for run in found.values()):
        if run.parent is None:
            found = _data(run)
            wrong += found
            files += Path(run.path).exists()
            continue
        record = standing.record(run)
        if record is None:
            incomplete += not standing.complete(run)
            continue
        runs += 1
        files += len(record.written)
        # Files missing for a run that is still to be made are listed already.
        wrong += [message for message in _files(record) if message not in wrong]
    return Verification(runs, files, incomplete, tuple(wrong))


def _files(record: Record) -> list[str]:
    found = []
    for name in record.written:
        try:
            record.path(name)
        except Mistake as error:
            found.append(str(error))
    return found


def _data(run: Run) -> list[str]:
    from espalier.data.prepared import SPLITS, Prepared

    try:
        if Path(run.path).exists():
            Prepared.read(Path(run.path), SPLITS)
    except Mistake as error:
        return [str(error)]
    return []
