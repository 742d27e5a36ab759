"""All that a study's folder shows, made from the runs that exist: runs.csv, tables, figures and the two pages."""

import shutil
from pathlib import Path

from espalier.results.format import table_files
from espalier.results.page import freshness, study_page
from espalier.results.read import tidy
from espalier.results.read.planned_study import read
from espalier.results.read.run_state import State
from espalier.results.study_outputs import Failure, draw, outputs_of
from espalier.runs.owner import owning, sweep, sweep_complete


def make(folder: Path, plan: Path) -> tuple[dict[str, State], list[Failure]]:
    """Make what a study shows in a folder, its page last: run id → state of the run, and what could not be made.

    A table or figure that fails says why in its own place, and the page does not count as current: the next call
    makes it anew.

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
        failures = []
        for item in outputs_of(study, "table"):
            made, failure = item.make_or_explain(frame, study)
            table_files.write(folder / "tables", item.key, made)
            failures += [failure] if failure else []
        failures += draw(outputs_of(study, "figure"), folder / "figures", frame, tidy.history(study), study)
        study_page.write(folder / "index.html", plan, study, frame, states)
        if failures:
            freshness.forget(folder)
        else:
            freshness.note(folder, freshness.made_from(study, {id_: state.record for id_, state in states.items()}))
    for state in states.values():
        if state.record:
            sweep_complete(state.record.folder)
    return states, failures
