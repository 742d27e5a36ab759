from typing import TYPE_CHECKING

from espalier.errors import Mistake
from espalier.results.compare import verdicts
from espalier.results.compare.comparison import HEADINGS, first_places, label_columns, protocol
from espalier.results.format import numbers
from espalier.results.format.marks import names
from espalier.results.format.table import Table, of
from espalier.results.read.planned_study import configurations, headline
from espalier.settings.registry import register

if TYPE_CHECKING:
    import pandas as pd


@register("table")
def against_baseline(frame, study: dict, *, baseline: dict[str, str] | None = None) -> Table:
    """Every configuration's accuracy and its difference from one of them, with interval, corrected p and a verdict.

    Args:
        baseline: axis → label of the configuration compared with; axes not named, and null for all of them, are as
            in the study's own settings
    """
    from espalier.results.compare.statistics import estimates

    measure = headline(study)
    number = _number(study, baseline)
    found = verdicts.samples(frame, "configuration", measure)
    data = estimates(frame, "configuration", [measure])
    labels = label_columns(frame, data.index, study)
    bold = first_places(frame, "configuration", data.index, study)
    data = data.join(verdicts.against(found, number))
    # All labels would leave no room for the verdict.
    named = names(study)
    words = {"Configuration": [named[configuration] for configuration in data.index]}
    cells = _printed(data, measure)
    for place, (axis, column) in enumerate(labels.items()):
        data.insert(place, axis, column)
    (data["first_place"],) = bold.values()
    return of(data, words | cells, 1, bold)


def _printed(data: "pd.DataFrame", measure: str) -> dict[str, list[str]]:
    bounds = zip(data[f"{measure}_low"], data[f"{measure}_high"], strict=True)
    spread = zip(data[f"{measure}_mean"], data[f"{measure}_sd"], strict=True)
    return {
        HEADINGS[measure]: [numbers.spread(*pair) for pair in spread],
        "n": [str(int(n)) for n in data[f"{measure}_n"]],
        "95 % interval (%)": [numbers.between(*pair) for pair in bounds],
        "Difference (points)": [numbers.signed(value) for value in data["difference"]],
        "Its 95 % interval": [
            numbers.between(low, high, signed=True) for low, high in zip(data["low"], data["high"], strict=True)
        ],
        "Corrected p": [numbers.p_value(p) for p in data["corrected_p"]],
        "Verdict": data["verdict"].tolist(),
    }


def _number(study: dict, named: dict[str, str] | None) -> int | None:
    """The number of the configuration compared with; None where the study's own settings are no point of its grid."""
    found = (study.get("baseline") or {}) | (named or {})
    number = configurations(study).get(tuple(found.get(axis) for axis in study["axes"]))
    if number is None and named:
        raise Mistake(
            f"{study['source']}: tables: against_baseline: baseline: no point of the grid has the labels "
            f"{', '.join(f'{axis}: {label}' for axis, label in found.items())}; name one that has"
        )
    return number


def caption(study: dict, *, baseline: dict[str, str] | None) -> str:
    """What the table shows and how its numbers came about."""
    named = ", ".join(f"{axis} {label}" for axis, label in (baseline or {}).items())
    which = f"the configuration with {named}" if named else "the baseline, the study's own settings"
    if not named and _number(study, None) is None:
        which += " (which are no point of its grid, so that nothing is compared)"
    named_by = "They are named by what differs from the study's own settings. " if study.get("baseline") else ""
    return (
        f"All configurations compared with {which}. {named_by}{verdicts.AGAINST} The difference's interval is not "
        f"corrected. {verdicts.BOLD} {protocol(study)}"
    )
