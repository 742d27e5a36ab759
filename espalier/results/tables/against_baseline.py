from typing import TYPE_CHECKING

from espalier.errors import Mistake
from espalier.results.compare import verdicts
from espalier.results.compare.comparison import HEADINGS, first_places, label_columns, protocol, spread_words
from espalier.results.format import numbers
from espalier.results.format.captions import Caption
from espalier.results.format.marks import names
from espalier.results.format.table import Table, table_of
from espalier.results.read.planned_study import configurations, headline
from espalier.settings.registry import register
from espalier.settings.types import Positive

if TYPE_CHECKING:
    import pandas as pd


_IMAGES = "Test images, 95 % (points)"
_INTERVALS = {"Seeds, 95 % (points)": ["low", "high"], _IMAGES: ["images_low", "images_high"]}


@register("table")
def against_baseline(frame, study: dict, *, baseline: dict[str, str] | None = None, margin: Positive = 0.5) -> Table:
    """Every configuration's accuracy and its difference from one of them, with intervals over seeds and over test
    images, corrected p and a verdict.

    Args:
        baseline: axis → label of the configuration to compare with; axes that are not named, and all of them with null,
            have the study's own setting
        margin: difference of accuracy, in points, within which a configuration is equivalent to the one compared
            with
    """
    from espalier.results.compare import other_images
    from espalier.results.compare.samples import samples
    from espalier.results.compare.statistics import estimates

    measure = headline(study)
    number = _number(study, baseline)
    found = samples(frame, "configuration", measure)
    data = estimates(found).add_prefix(f"{measure}_")
    labels = label_columns(frame, data.index, study)
    bold = first_places(frame, data.index, study)
    images = other_images.intervals(other_images.answers(frame, study), number)
    data = data.join(verdicts.against(found, number, margin, images))
    # All labels would leave no room for the verdict.
    named = names(study)
    words = {"Configuration": [named[configuration] for configuration in data.index]}
    cells = _printed(data, measure)
    for place, (axis, column) in enumerate(labels.items()):
        data.insert(place, axis, column)
    (data["first_place"],) = bold.values()
    return table_of(data, words | cells, 1, bold)


def _printed(data: "pd.DataFrame", measure: str) -> dict[str, list[str]]:
    spread = zip(data[f"{measure}_mean"], data[f"{measure}_sd"], strict=True)
    cells = {
        HEADINGS[measure]: [numbers.spread(*pair) for pair in spread],
        "n": [str(int(n)) for n in data[f"{measure}_n"]],
        "Difference (points)": [numbers.signed(value) for value in data["difference"]],
        "Verdict": data["verdict"].tolist(),
        "Corrected p": [numbers.p_value(p) for p in data["p"]],
    }
    for head, ends in _INTERVALS.items():
        # Older evaluations did not write which images were right, and without one nothing does.
        if head != _IMAGES or data[ends].notna().any(axis=None):
            cells[head] = [numbers.between(*pair, signs=True) for pair in data[ends].to_numpy()]
    return cells


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


def caption(study: dict, *, baseline: dict[str, str] | None, margin: float) -> Caption:
    """What the table shows and how its numbers came about."""
    named = ", ".join(f"{axis} {label}" for axis, label in (baseline or {}).items())
    which = f"the configuration with {named}" if named else "the baseline"
    missing = not named and _number(study, None) is None
    named_by = "Rows are named by what differs from the study's own settings. " if study.get("baseline") else ""
    images = (
        "The interval over seeds says what training again would change, that over test images what other images "
        "would: images are paired, and it is not corrected. "
        if headline(study) == "test_top1"
        else ""
    )
    return Caption(
        f"All configurations compared with {which}",
        "The study's own settings are no point of its grid, so that nothing is compared."
        if missing
        else f"{verdicts.RESOLVED} {spread_words(study)}",
        f"{named_by}{verdicts.against_words(margin)} {images}{verdicts.BOLD} {protocol(study, interval=False)}",
    )
