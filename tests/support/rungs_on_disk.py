"""Files of trainings that are paused at a rung, as the trainings leave them."""

from collections.abc import Callable
from pathlib import Path

from espalier.plan.build import Plan, PlannedStudy
from espalier.runs import record as records
from espalier.search import rung_file


def pause(planned: PlannedStudy, score: Callable[[str, int], float | None], root: Path = Path()) -> None:
    """Write what the open question of a study reads.

    Args:
        score: validation top-1 of a training, by its name, after some epochs; None of one that has diverged
    """
    for run, epochs in planned.pending.needs:
        value = score(run.name, epochs)
        best = {"epoch": epochs, "validation_top1": value, "validation_loss": 1.0} if value is not None else None
        outcome = rung_file.PAUSED if best else records.DIVERGED
        id_ = records.identifier(Path(run.path))
        told = rung_file.Rung(id_, epochs, outcome, "" if best else "it blew up", "top1", best, "data", 1.0)
        rung_file.write(root / rung_file.path(run.name, epochs), told)


def settle(plan: Callable[[], Plan], name: str, score: Callable[[str, int], float | None]) -> PlannedStudy:
    """Answer one question after the other, until a study is whole."""
    while (study := plan().studies[name]).pending:
        pause(study, score)
        study.pending.write(study.pending.path)
    return study
