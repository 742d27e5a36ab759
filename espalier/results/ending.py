"""The end of a call of Snakemake: pages that show what there is, and last lines in the terminal that name them."""

import atexit
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from espalier.errors import Mistake
from espalier.plan import best_chain
from espalier.results.format.notices import protocol_notice
from espalier.results.page import freshness
from espalier.results.read.planned_study import Study, configurations, labels, read, short_names
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
    if not page.exists():
        return []
    failed_parts = (f"{folder}/{each.told()}" for each in failures)
    return [*best(study, found), line(page, study, found), *failed_parts]


def best(study: Study, found: Mapping[str, State]) -> list[str]:
    """The best chain on the validation split in one line, chosen as a notebook and other studies choose it; none while
    no chain is done. Of the test split the page alone tells."""
    scores = []
    for point in study["points"]:
        ended = [found[id_].record for stage, id_ in point["runs"].items() if stage != "prepare"]
        if (score := best_chain.score(ended)) is not None:
            scores.append((score, point, [record for record in ended if best_chain.METRIC in record.metrics][-1]))
    if not scores:
        return []
    score, point, last = max(scores, key=lambda one: one[0])
    name = short_names(study)[configurations(study)[labels(study, point)]]
    seeds = (seed for id_ in point["runs"].values() if (seed := study["runs"][id_]["settings"].get("seed")) is not None)
    seed = f", seed {next(seeds, point['repeat'])}" if study["repeats"] > 1 else ""
    said = protocol_notice(study).partition(". ")[0]
    head = f"{study['study']}: best validation top-1 {score:.2f} %: {name}{seed}"
    return [f"{head} ({last.folder}){f'. {said}.' if said else ''}"]


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
