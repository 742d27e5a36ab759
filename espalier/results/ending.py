"""The end of a call of Snakemake: pages that show what there is, and last lines in the terminal that name them."""

import atexit
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from espalier.errors import Mistake
from espalier.results.page import freshness
from espalier.results.read.planned_study import Study, read
from espalier.results.read.run_state import STATES, TROUBLED, State, last_words
from espalier.results.read.tidy import states

STUDIES = Path("results/studies")
_NAMED = 2
"""Kinds of trouble of which a line names a run."""
_STAMP = re.compile(r"^\S+ \S+ [A-Z]+ ")
"""Time and level of a line of a log."""
_WORDS = 120
"""Letters of what each says."""


def of_call(studies: Iterable[str], *, failed: bool) -> None:
    """Make the pages that a call has left outdated, and print a line for each study when this process ends.

    Args:
        failed: whether a job has failed, so that pages were not made which waited for it
    """
    lines = [line for study in studies for line in _ended(STUDIES / study, failed)]
    # Snakemake's own last words stand before them.
    atexit.register(lambda: print("\n".join(lines), file=sys.stderr, flush=True))


def _ended(folder: Path, failed: bool) -> list[str]:
    page = folder / "index.html"
    # What had the page made anew; Snakemake looks for it until the call is over.
    for path in folder.glob("outdated*"):
        path.unlink()
    try:
        study = read(folder / "plan.json")
        found, failures = states(study), []
        made = freshness.made_from(study, {id_: state.record for id_, state in found.items()})
        if (failed or page.exists()) and not freshness.current(folder, made):
            from espalier.results.making import make

            found, failures = make(folder, folder / "plan.json")
    except Mistake as error:
        return [f"{page}: not made: {error}"]
    return [line(page, study, found), *(f"{folder}/{each.told()}" for each in failures)] if page.exists() else []


def line(page: Path, study: Study, found: Mapping[str, State]) -> str:
    """What a page shows, and which of its runs are in trouble, in one line."""
    counts = Counter(state.name for state in found.values())
    parts = [f"{counts['done']} of {len(found)} runs are done"]
    for name in (name for name in STATES if name != "done" and counts[name]):
        chosen = [id_ for id_, state in found.items() if state.name == name] if name in TROUBLED else []
        alike = {_words(found[id_]): Path(study["runs"][id_]["path"]).name for id_ in reversed(chosen)}
        said = "; ".join([f"{run}: {words}" for words, run in reversed([*alike.items()])][:_NAMED])
        parts.append(f"{counts[name]} {name}{f' ({said})' if said else ''}")
    return f"{page}: {', '.join(parts)}"


def _words(state: State) -> str:
    return (state.why or _STAMP.sub("", last_words(Path(state.log))))[:_WORDS]
