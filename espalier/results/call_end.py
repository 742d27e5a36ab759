"""The end of a call of Snakemake: pages that show what there is, and last lines in the terminal that name them."""

import atexit
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from espalier.counted import counted
from espalier.errors import Mistake
from espalier.plan import best_chain
from espalier.results.format.notices import protocol_notice
from espalier.results.page import freshness
from espalier.results.read import rungs
from espalier.results.read.planned_study import Study, configurations, labels, read, short_names, unit
from espalier.results.read.run_state import STATES, TROUBLED, State, last_words
from espalier.results.read.tidy import states

STUDIES = Path("results/studies")
_NAMED = 2
"""Kinds of trouble of which a line names a run."""
_STAMP = re.compile(r"^\S+ \S+ [A-Z]+ ")
"""Time and level of a line of a log."""
_WORDS = 120
"""Letters of what each says."""


def finish_call(studies: Iterable[str], *, failed: bool) -> None:
    """Make the pages that a call has left outdated, and print a line for each study when this process ends.

    Args:
        failed: whether a job has failed, so that pages were not made which waited for it
    """
    lines = [line for study in studies for line in _ended(STUDIES / study, failed)]
    # Snakemake's own last words stand before them.
    atexit.register(lambda: print("\n".join(lines), file=sys.stderr, flush=True))


def _ended(folder: Path, failed: bool) -> list[str]:
    page = folder / "index.html"
    # The marks that made Snakemake renew the page; it needs them until the call is over.
    for path in folder.glob("outdated*"):
        path.unlink()
    try:
        study = read(folder / "plan.json")
        found, failures = states(study), []
        made = freshness.made_from(study, {id_: state.record for id_, state in found.items()})
        if (failed or page.exists()) and not freshness.current(folder, made):
            from espalier.results.study_folder import make

            found, failures = make(folder, folder / "plan.json")
    except Mistake as error:
        return [f"{page}: not made: {error}"]
    if not page.exists():
        return []
    failed_parts = (f"{folder}/{each.message()}" for each in failures)
    return [*best(study, found), line(page, study, found), *failed_parts]


def best(study: Study, found: Mapping[str, State]) -> list[str]:
    """The best configuration on the validation split in one line, chosen as a notebook and other studies choose it;
    none while no chain is done. Of the test split the page alone tells."""
    scores, stopped = [], rungs.stops(study)
    for point in (point for point in study["points"] if not rungs.of_point(point, stopped)):
        ended = [found[id_].record for stage, id_ in point["runs"].items() if stage != "prepare"]
        last = [record for record in ended if record and best_chain.METRIC in record.metrics]
        scores.append((labels(study, point), best_chain.score(ended), last[-1].folder if last else None))
    chosen = best_chain.highest(scores)
    if chosen is None:
        return []
    name = short_names(study)[configurations(study)[next(key for key, _, item in scores if item == chosen.item)]]
    said = protocol_notice(study).partition(". ")[0]
    mean = f" (mean of {chosen.count} {unit(study).partition(',')[0]})" if chosen.count > 1 else ""
    head = f"{study['study']}: best validation top-1 {chosen.mean:.2f} %{mean}: {name}"
    return [f"{head} ({chosen.item}){f'. {said}.' if said else ''}"]


def line(page: Path, study: Study, found: Mapping[str, State]) -> str:
    """What a page shows, and which of its runs are in trouble, in one line."""
    counts = Counter(state.name for state in found.values())
    parts = [f"{counts['done']} of {counted(len(found), 'run is', 'runs are')} done"]
    for name in (name for name in STATES if name != "done" and counts[name]):
        chosen = [id_ for id_, state in found.items() if state.name == name] if name in TROUBLED else []
        alike = {_words(found[id_]): Path(study["runs"][id_]["path"]).name for id_ in reversed(chosen)}
        said = "; ".join([f"{run}: {words}" for words, run in reversed([*alike.items()])][:_NAMED])
        parts.append(f"{counts[name]} {name}{f' ({said})' if said else ''}")
    return f"{page}: {', '.join(parts)}"


def _words(state: State) -> str:
    return (state.why or _STAMP.sub("", last_words(Path(state.log))))[:_WORDS]
