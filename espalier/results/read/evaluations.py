"""What evaluations have measured on the test split beside their scores: numbers and tables of metrics, corruptions."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from espalier.errors import Mistake
from espalier.results.read.accounts import WORDS, whole
from espalier.results.read.bit_cells import kept_widths, number, rows
from espalier.results.read.planned_study import Study, configurations
from espalier.runs.columns import CORRUPTED
from espalier.stages import STAGES
from espalier.stages.evaluate import CORRUPTIONS, MEASURES

if TYPE_CHECKING:
    import pandas as pd


def numbers(frame: "pd.DataFrame", study: Study) -> "pd.DataFrame":
    """The numbers of all metrics, a row a point whose evaluation is done: `configuration`, `repeat`, and a column a
    number."""
    import pandas as pd

    found = []
    for head, run in _evaluated(frame):
        if own := rows(study, run, MEASURES):
            found.append(head | {row["metric"]: number(row, "value") for row in own})
    columns = dict.fromkeys(("configuration", "repeat"))
    return pd.DataFrame(found, columns=[*(columns | dict.fromkeys(name for row in found for name in row))])


def table(frame: "pd.DataFrame", study: Study, metric: str, words: tuple[str, ...]) -> "pd.DataFrame":
    """The table of a metric, of every point whose evaluation has it: `configuration`, `repeat` and the columns of the
    table, all but `words` as numbers."""
    import pandas as pd

    found = [
        head | {name: cell if name in words else number(row, name) for name, cell in row.items()}
        for head, run in _evaluated(frame)
        for row in rows(study, run, f"{metric}.csv")
    ]
    return pd.DataFrame(found) if found else pd.DataFrame(columns=["configuration", "repeat"])


def corruptions(frame: "pd.DataFrame", study: Study) -> "pd.DataFrame":
    """Accuracy on corrupted test images: a row for each network of every chain that was scored on them.

    Columns are `configuration`, `repeat`, `stage` (words), `clean_top1` and `mean_corruption_error`, both in percent.
    Chains that are the beginning of a longer one are left out.
    """
    import pandas as pd

    found = []
    for point in whole(frame, study):
        head = {"configuration": point["configuration"], "repeat": point["repeat"]}
        own = pd.DataFrame(rows(study, point["runs"].get("evaluate"), CORRUPTIONS), columns=list(CORRUPTED))
        for stage in (each.name for each in STAGES.values() if each.changes and each.name in point["runs"]):
            words = _words(stage, study["runs"][point["runs"][stage]]["settings"])
            found.append(head | {"stage": words} | _means(own[own["stage"] == stage]))
        for form, here in own[own["stage"] == "export"].groupby("format", sort=False):
            found.append(head | {"stage": form} | _means(here))
    return pd.DataFrame(found, columns=["configuration", "repeat", "stage", "clean_top1", "mean_corruption_error"])


def _means(rows: "pd.DataFrame") -> dict[str, float]:
    clean, corrupted = rows["clean_top1"].astype(float), rows["top1"].astype(float)
    return {"clean_top1": clean.mean(), "mean_corruption_error": 100 - corrupted.mean()}


def shown(study: Study, named: Mapping[str, str] | None) -> int:
    """The number of the configuration with the labels `named`, on other axes with the baseline's.

    Without `named` it is the baseline, or the first configuration where the baseline is no point of the grid.

    Raises:
        Mistake: no point of the grid has the labels.
    """
    wanted = (study.get("baseline") or {}) | (named or {})
    known = configurations(study)
    found = known.get(tuple(wanted.get(axis) for axis in study["axes"]))
    if found is None and named:
        labels = ", ".join(f"{axis}: {label}" for axis, label in wanted.items())
        raise Mistake(f"configuration: no point of the grid has the labels {labels}; name one that has")
    return found or 0


def _words(stage: str, settings: Mapping[str, Any]) -> str:
    """What a network is called by the stage that made it, with its widths."""
    words = WORDS.get(stage, stage)
    return words + " (W{} A{})".format(*kept_widths(settings)) if stage == "quantize" else words


def _evaluated(frame: "pd.DataFrame") -> Iterator[tuple[dict[str, int], Any]]:
    if "run.evaluate" in frame:
        yield from zip(frame[["configuration", "repeat"]].to_dict("records"), frame["run.evaluate"], strict=True)
