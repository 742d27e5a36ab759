"""The file of a rung: the state of a run at the end of an epoch, which decides whether the run goes on.

It keeps the state at that epoch even if the run has gone on since, so that it always reads the same but for the times.
It contains its own SHA-256.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from espalier.errors import Mistake
from espalier.files import leftovers, write_text
from espalier.runs import record, seal

RUNGS = Path("results/rungs")
VERSION = 1
PAUSED = "paused"
OUTCOMES = (PAUSED, *record.OUTCOMES)
"""How a run can stand at the end of an epoch: there is more to train; or it has ended by then, as its record says."""


@dataclass(frozen=True)
class Rung:
    """How a run stood at the end of an epoch."""

    run: str
    """its id"""
    epochs: int
    """those that were asked for; a run that ended before has fewer"""
    outcome: str
    """one of OUTCOMES"""
    reason: str
    """why it diverged or was not run; empty where it was not so"""
    select: str
    """validation metric that chooses the best epoch: top1, balanced_top1 or loss"""
    best: Mapping[str, float] | None
    """the row of history of the best of these epochs; None where none has ended"""
    data: str | None
    """checksum of the prepared data; None of a run that was not run"""
    wall_s: float
    """seconds that were spent on the run so far, with those beyond this epoch"""


def path(run: str, epoch: int) -> Path:
    """Where the rung of a run lies, which is named by its folder's name."""
    return RUNGS / run / f"{epoch}.json"


def write(file: Path, rung: Rung) -> None:
    """Write a rung in one rename."""
    # Left by a process that was killed while it wrote; the one that writes owns the run.
    for old in leftovers(file.parent, file.name):
        old.unlink(missing_ok=True)
    write_text(file, seal.sealed({"rung": VERSION, **asdict(rung)}))


def read(file: Path) -> Rung:
    """The rung in a file.

    Raises:
        Mistake: there is none, or it is not what was written.
    """
    mend = "Remove it and call snakemake again, which writes it from the run; no epoch is lost"
    content = seal.read(file, "its run has not come to this epoch. Call snakemake", mend)
    if content.pop("rung", None) != VERSION:
        raise Mistake(f"{file}: it is no rung of version {VERSION}. {mend}")
    return Rung(**content)
