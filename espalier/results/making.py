"""All that a study's folder shows, made from the runs that exist: runs.csv, tables, figures and the two pages."""

import shutil
from pathlib import Path

from espalier.results import requested
from espalier.results.format import table
from espalier.results.page import freshness, study_page
from espalier.results.read import tidy
from espalier.results.read.planned_study import read
from espalier.results.read.run_state import State
from espalier.results.requested import asked
from espalier.runs.owner import owning, sweep, sweep_complete


def make(folder: Path, plan: Path) -> dict[str, State]:
    """Make what a study shows in a folder, its page last; run id → state of the run.

    Raises:
        Mistake: the plan cannot be read, or a run that it shows is damaged.
    """
    with owning(folder):
        sweep(folder)
        study = read(plan)
        states = tidy.states(study)
        frame = tidy.runs(study, known=states)
        tidy.write_runs(folder / "runs.csv", frame)
        for part in ("tables", "figures"):
            shutil.rmtree(folder / part, ignore_errors=True)
            (folder / part).mkdir()
        for item in asked(study, "table"):
            table.write(folder / "tables", item.key, item.make(frame, study))
        requested.draw(asked(study, "figure"), folder / "figures", frame, tidy.history(study), study)
        study_page.write(folder / "index.html", plan, study, frame, states)
        freshness.note(folder, freshness.made_from(study, {id_: state.record for id_, state in states.items()}))
    for state in states.values():
        if state.record:
            sweep_complete(state.record.folder)
    return states
