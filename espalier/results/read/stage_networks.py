"""The networks of one stage, whether their chains end there or go on: what tables and figures of a stage speak of."""

from math import isnan, nan
from typing import TYPE_CHECKING, Any

from espalier.results.read.bit_cells import metrics, number, scores
from espalier.results.read.planned_study import Study, configurations, headline, labels
from espalier.stages import STAGES

if TYPE_CHECKING:
    import pandas as pd

_BARE, _EAGER = "–", "eager"
_TESTED = ("images", "test_loss", "test_top1", "test_top5")


def until(frame: "pd.DataFrame", study: Study, stage: str) -> tuple["pd.DataFrame", Study]:
    """The rows and the study as if no chain went on after `stage`: each network once, with its own measures.

    Labels of axes that only later stages read are dashes, so that one network has one name. A chain that goes on is
    told by the records of its earlier runs, and its test accuracies by the scores of its evaluation.

    Raises:
        ArtifactError: the record or metrics of such a run are damaged.
    """
    later, beyond = _later(stage), _axes_beyond(study, stage)
    baseline = study.get("baseline")
    points: dict[tuple, dict[str, Any]] = {}
    for point in study["points"]:
        runs = {name: run for name, run in point["runs"].items() if name not in later}
        short = {**point, "labels": point["labels"] | dict.fromkeys(beyond, _BARE), "runs": runs}
        points.setdefault((*labels(study, short), point["repeat"]), short)
    study = {
        **study,
        "baseline": baseline and baseline | dict.fromkeys(beyond, _BARE),
        "points": [*points.values()],
    }
    changing = [f"run.{name}" for name in later if STAGES[name].changes and f"run.{name}" in frame]
    goes_on = frame[changing].notna().any(axis=1)
    gone = [f"{part}.{name}" for part in ("run", "spoken", "folder") for name in later if f"{part}.{name}" in frame]
    found = frame.assign(**dict.fromkeys((f"label.{axis}" for axis in beyond), _BARE), **dict.fromkeys(gone))
    own = [f"label.{axis}" for axis in study["axes"]]
    # Chains that end at this stage have its measures in the frame; of chains with the same network they come first.
    first = found.loc[goes_on.sort_values(kind="stable").index].drop_duplicates([*own, "repeat"]).index
    found = found[found.index.isin(first)]
    known = configurations(study)
    found = found.assign(configuration=[known[each] for each in found[own].itertuples(index=False, name=None)])
    return _measured(found, study, goes_on[found.index]), study


def _later(stage: str) -> list[str]:
    names = list(STAGES)
    return [name for name in names[names.index(stage) + 1 :] if STAGES[name].optional]


def _axes_beyond(study: Study, stage: str) -> list[str]:
    """The axes whose settings no stage up to this one reads."""
    up_to = list(STAGES)[: list(STAGES).index(stage) + 1]
    read = {key for name in up_to for key in STAGES[name].settings.model_fields}
    beyond = {key for name in _later(stage) for key in STAGES[name].settings.model_fields} - read
    return [axis for axis in study["axes"] if axis.partition(".")[0] in beyond]


def _measured(found: "pd.DataFrame", study: Study, goes_on: "pd.Series") -> "pd.DataFrame":
    """The rows with measures of their own networks where these were of what came after."""
    import pandas as pd

    if not goes_on.any():
        return found
    runs = [f"run.{name}" for name in STAGES if STAGES[name].changes and f"run.{name}" in found]
    columns = dict.fromkeys(name for each in STAGES.values() for name in each.columns if name in found)
    tested = scores(study)
    tested = tested[(tested["kept"] == 1) & (tested["format"] == _EAGER)].set_index("run")
    rows = []
    for row in found[goes_on].to_dict("records"):
        chain = [row[name] for name in runs if isinstance(row[name], str)]
        measured = [metrics(study, run) for run in reversed(chain)]
        own = {name: next((number(each, name) for each in measured if name in each), nan) for name in columns}
        if chain[-1] in tested.index:
            own |= {name: tested.at[chain[-1], name] for name in _TESTED if name in own}
        done = bool(measured[0]) and not isnan(own[headline(study)])
        rows.append(own | {"state": "done" if done else row["state"]})
    measures = pd.DataFrame(rows, index=found.index[goes_on])
    merged = {name: found[name].astype(object).where(~goes_on, measures[name]) for name in measures}
    dtypes = dict.fromkeys(columns, float) | {"state": found["state"].dtype}
    return found.assign(**merged).astype(dtypes)
