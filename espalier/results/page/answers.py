"""Short answers at the top of a study's page: the best network, the smallest and the fastest ones nearly as good, and
how the configurations compare with the baseline.

Networks are chosen on the validation split; the test split scores them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from espalier.counted import counted
from espalier.results.compare import verdicts
from espalier.results.compare.comparison import HEADINGS
from espalier.results.format import numbers
from espalier.results.format.marks import names
from espalier.results.format.protocols import mixed, optimistic
from espalier.results.page.leaderboard import configuration_table, printed
from espalier.results.read.planned_study import Study, baseline_number, headline, unit
from espalier.runs.record import identifier
from espalier.runs.spoken_name import spoken_name
from espalier.stages import STAGES

if TYPE_CHECKING:
    import pandas as pd

WITHIN = 1.0
"""Points of validation top-1 below the best that a smaller or faster network may have."""
MARGIN = 0.5
"""Points of accuracy within which a configuration is equivalent to the baseline."""
_NAMED = 6
"""Names in one line."""


class Answer(NamedTuple):
    """One network, and how to have it."""

    asked: str
    name: str
    facts: list[str]
    folder: str
    """of the run that holds its weights, of the repeat with the highest validation top-1"""

    @property
    def called(self) -> str:
        """The run's spoken name."""
        return spoken_name(identifier(Path(self.folder)))


def answers(frame: "pd.DataFrame", study: Study) -> list[Answer]:
    """The best, the smallest and the fastest configuration; none while none has a result."""
    data = configuration_table(frame, study)
    data = data[data["validation_top1_n"] > 0]
    if data.empty:
        return []
    order = data.sort_values("validation_top1_mean", ascending=False, kind="stable")
    best = order.index[0]
    near = order[order["validation_top1_mean"] >= order.loc[best, "validation_top1_mean"] - WITHIN]
    ties = int((order["validation_top1_mean"] == order.loc[best, "validation_top1_mean"]).sum()) - 1
    said = [f"{ties} more {'has' if ties == 1 else 'have'} the same validation top-1."] if ties else []
    found = [_answer("Best by validation top-1", best, data, frame, study, [*_margin(frame, study, best), *said])]
    for asked, costs in (("Smallest", ("file_bytes", "params")), ("Fastest", ("latency_1", "macs"))):
        known = [cost for cost in costs if near[cost].notna().all()]
        if known:
            least = near[known[0]].idxmin()
            head, cells = printed(known[0], near[known[0]].tolist())
            cost = f"{head}: {cells[near.index.get_loc(least)]}."
            asked = f"{asked} within {WITHIN:g} point of it"
            if least == best:
                found.append(found[0]._replace(asked=asked, facts=["The same one.", cost]))
            else:
                found.append(_answer(asked, least, data, frame, study, [cost]))
    return found


def _answer(
    asked: str, number: int, data: "pd.DataFrame", frame: "pd.DataFrame", study: Study, more: list[str]
) -> Answer:
    row = data.loc[number]
    facts = [_accuracy(row, "validation_top1", " by which it was chosen")]
    if headline(study) == "test_top1" and row["test_top1_n"]:
        facts.append(_accuracy(row, "test_top1"))
    return Answer(asked, names(study)[number], [*facts, *more], _folder(frame, number, study))


def _accuracy(row: "pd.Series", measure: str, by: str = "") -> str:
    head = HEADINGS[measure].removesuffix(" (%)")
    bounds = numbers.between(row[f"{measure}_low"], row[f"{measure}_high"])
    over = "" if bounds == numbers.MISSING else f", 95 % interval over seeds {bounds}"
    return f"{head}{by}: {numbers.plain(row[f'{measure}_mean'])} % (n = {row[f'{measure}_n']:.0f}{over})."


def _margin(frame: "pd.DataFrame", study: Study, best: int) -> list[str]:
    """How the best differs from the baseline."""
    baseline = baseline_number(study)
    if baseline is None or best == baseline:
        return ["It is the baseline."] if baseline is not None else []
    row = compared(frame, study).loc[best]
    if row["difference"] != row["difference"]:
        return []
    bounds = numbers.between(row["low"], row["high"], signs=True)
    within = "" if bounds == numbers.MISSING else f" ({bounds})"
    return [f"{numbers.signed(row['difference'])} points{within} against the baseline: {row['verdict']}."]


def compared(frame: "pd.DataFrame", study: Study) -> "pd.DataFrame":
    """Every configuration against the baseline, as `verdicts.against` says it."""
    from espalier.results.compare.samples import samples

    found = samples(frame, "configuration", headline(study))
    return verdicts.against(found, baseline_number(study), MARGIN)


def findings(frame: "pd.DataFrame", study: Study) -> list[tuple[str, str]]:
    """(verdict, the configurations that have it with their differences in points); nothing without a baseline."""
    if baseline_number(study) is None:
        return []
    data, named = compared(frame, study), names(study)
    found = []
    for verdict in (verdicts.BETTER, verdicts.WORSE, verdicts.EQUIVALENT):
        rows = data[data["verdict"] == verdict].sort_values("difference", ascending=verdict == verdicts.WORSE)
        if len(rows) or (verdict == verdicts.BETTER and data["p"].notna().any()):
            each = [f"{named[number]} ({numbers.signed(apart)})" for number, apart in rows["difference"].items()]
            head = f"{verdict.capitalize()} {'to' if verdict == verdicts.EQUIVALENT else 'than'} the baseline"
            found.append((head, _listed(each, "; ") or "none"))
    unsure = data[data["verdict"].str.startswith(verdicts.OPEN)]
    if len(unsure):
        found.append(("Not resolved", _unresolved(unsure, len(data) - 1, study)))
    return found


def _unresolved(unsure: "pd.DataFrame", count: int, study: Study) -> str:
    needed = unsure["repeats"].dropna()
    more = f"; the clearest of them would take {needed.min():.0f} repeats ({unit(study)})" if len(needed) else ""
    return f"{len(unsure)} of {counted(count, 'configuration')}{more}"


def _listed(items: list[str], between: str) -> str:
    return between.join(items[:_NAMED]) + (f" and {len(items) - _NAMED} more" if len(items) > _NAMED else "")


def optimism(study: Study) -> str:
    """A sentence where the accuracies are of the images that chose them."""
    if optimistic(study):
        return "Epochs are chosen on the test split: all of this is optimistic."
    if mixed(study):
        return "Where the protocol is published, epochs are chosen on the test split: that is optimistic."
    return ""


def _folder(frame: "pd.DataFrame", number: int, study: Study) -> str:
    own = frame[(frame["configuration"] == number) & frame["validation_top1"].notna()]
    row = own.loc[own["validation_top1"].idxmax()]
    runs = [row.get(f"run.{stage.name}") for stage in STAGES.values() if stage.changes]
    return str(Path(study["runs"][[run for run in runs if isinstance(run, str)][-1]]["path"]))
