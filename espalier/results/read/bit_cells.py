"""Settings of widths and scores of a study's runs, read from what the stages leave on disk."""

from collections.abc import Mapping
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from espalier.results.read.planned_study import Study, headline
from espalier.runs import record as records
from espalier.runs.columns import SCORES

if TYPE_CHECKING:
    import pandas as pd

FULL = 32
"""Width of floats."""
_SIZES = ("theoretical_mib", "activation_mib")
_WIDTHS = ["weight_bits", "activation_bits"]
_CELL = ["run", *_WIDTHS]


def rows(study: Study, run: object, name: str) -> list[dict[str, str]]:
    """The rows of a CSV of a run; none while the run is not done, or where its stage writes no such file.

    Raises:
        ArtifactError: the record of the run or the file is damaged.
    """
    # A missing run of a frame is a float.
    record = records.read(Path(study["runs"][run]["path"])) if isinstance(run, str) else None
    return record.rows(name) if record and name in record.written else []


def metrics(study: Study, run: object) -> Mapping[str, str]:
    """The one row of a run's metrics; empty while the run is not done."""
    return next(iter(rows(study, run, "metrics.csv")), {})


def number(row: Mapping[str, str], column: str) -> float:
    """A cell as a number; NaN where there is none."""
    try:
        return float(row[column])
    except (KeyError, TypeError, ValueError):
        return nan


def scores(study: Study) -> "pd.DataFrame":
    """Every network of the study that was scored on the test split, once: the columns of scores.csv."""
    import pandas as pd

    runs = (id_ for id_, run in study["runs"].items() if run["stage"] == "evaluate")
    frame = pd.DataFrame((row for run in runs for row in rows(study, run, "scores.csv")), columns=list(SCORES))
    words = ("stage", "run", "format")
    counted = [column for column in SCORES if column not in words]
    frame[counted] = frame[counted].apply(pd.to_numeric, errors="coerce").astype(float)
    # Chains that share a network have all scored it.
    return frame.drop_duplicates([*_CELL, "format"], ignore_index=True)


def cells(frame: "pd.DataFrame", study: Study) -> "pd.DataFrame":
    """Sizes and accuracies of every pair of bit widths that a study asks for; each quantized network counts once.

    A row is one pair of one network. `configuration` is the first one that has the network; `kept` says whether the
    chain goes on with this pair; `before_*` are accuracies of the network before quantization. What was not measured is
    missing.
    """
    import pandas as pd

    scored = scores(study)
    of_setting = scored.set_index(_CELL)["test_top1"].to_dict()
    of_run = scored.drop_duplicates("run").set_index("run")["test_top1"].to_dict()
    found = []
    quantized = frame[frame["run.quantize"].notna()].drop_duplicates("run.quantize")
    for configuration, repeat, run in quantized[["configuration", "repeat", "run.quantize"]].itertuples(index=False):
        settings, parent = study["runs"][run]["settings"], study["runs"][run]["parent"]
        measured = {tuple(number(row, name) for name in _WIDTHS): row for row in rows(study, run, "grid.csv")}
        head = {"configuration": configuration, "repeat": repeat, "run": run, "parent": parent}
        before = {
            "before_validation_top1": number(metrics(study, parent), "validation_top1"),
            "before_test_top1": of_run.get(parent, nan),
        }
        for widths in _measured_widths(settings):
            row = measured.get(widths, {})
            cell = head | dict(zip(_WIDTHS, widths, strict=True)) | {"kept": widths == kept_widths(settings)}
            cell |= {name: number(row, name) for name in (*_SIZES, "validation_top1")}
            found.append(cell | {"test_top1": of_setting.get((run, *widths), nan)} | before)
    names = ("validation_top1", "test_top1", "before_validation_top1", "before_test_top1")
    columns = ["configuration", "repeat", "run", "parent", *_WIDTHS, "kept", *_SIZES, *names]
    return pd.DataFrame(found, columns=columns)


def over_repeats(data: "pd.DataFrame", measure: str) -> "pd.DataFrame":
    """Cells by configuration and widths: `n`, `mean` and `sd` of `measure`, `before` and `change` from it repeat by
    repeat (means), `kept`, and mean sizes; wider settings first."""
    data = data.assign(
        value=data[measure], before=data[f"before_{measure}"], change=data[measure] - data[f"before_{measure}"]
    )
    groups = data.groupby(["configuration", *_WIDTHS], sort=False)
    found = groups["value"].agg(["count", "mean", "std"]).rename(columns={"count": "n", "std": "sd"})
    found = found.join(groups[["before", "change", *_SIZES]].mean()).join(groups["kept"].first())
    order = {"configuration": True} | dict.fromkeys(_WIDTHS, False)
    return found.reset_index().sort_values([*order], ascending=[*order.values()], ignore_index=True)


def measure(study: Study, split: str) -> str:
    """The column of the split asked for; validation where no chain is evaluated."""
    return "validation_top1" if split == "validation" else headline(study)


def schemes(study: Study) -> list[str]:
    """The names of the study's quantization schemes."""
    runs = study["runs"].values()
    return [*dict.fromkeys(run["settings"]["quantize.scheme.name"] for run in runs if run["stage"] == "quantize")]


def _measured_widths(settings: Mapping) -> list[tuple[int, int]]:
    widths = (settings[f"quantize.{name}"] for name in _WIDTHS)
    first, second = widths
    return [(weights, activations) for weights in first for activations in second]


def kept_widths(settings: Mapping) -> tuple[int, int]:
    """The widths of weights and activations that a chain goes on with, by the settings of its quantization."""
    first = _measured_widths(settings)[0]
    weights, activations = (
        settings.get(f"quantize.keep.{name}", own) for name, own in zip(_WIDTHS, first, strict=True)
    )
    return weights, activations
