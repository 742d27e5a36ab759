"""Finds the training that made a chain's network: the run of `train`, or of `extend` where the chain has one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from espalier.results.read.planned_study import Study, stages
from espalier.results.read.stage_networks import until

if TYPE_CHECKING:
    import pandas as pd


def note(study: Study) -> str:
    """A sentence for the caption of a figure of `joined` histories; empty where nothing is extended."""
    said = "The epochs of an extension are drawn behind those of its training, from whose best one it goes on."
    return said if "extend" in stages(study) else ""


def last_of(runs: Mapping[str, str]) -> str:
    """The run of a chain (stage → run) that trained its network last, before anything was removed from it."""
    return runs.get("extend", runs["train"])


def last(frame: "pd.DataFrame") -> "pd.Series":
    """The same run of every row of a frame."""
    trained = frame["run.train"]
    return frame["run.extend"].where(frame["run.extend"].notna(), trained) if "run.extend" in frame else trained


def accuracy(frame: "pd.DataFrame", study: Study, measure: str) -> "pd.Series":
    """Run that trained a network last → the column `measure` of that network, whether its chain goes on or not."""
    found = until(frame, study, "extend")[0]
    return found.assign(trained=last(found)).drop_duplicates("trained").set_index("trained")[measure]


def wall_s(frame: "pd.DataFrame") -> "pd.Series":
    """Seconds of training of every row, those of its extension included; missing while one of them is not done."""
    if "run.extend" not in frame:
        return frame["train_wall_s"]
    return frame["train_wall_s"] + frame["extend_wall_s"].where(frame["run.extend"].notna(), 0.0)


def with_extensions(history: "pd.DataFrame", frame: "pd.DataFrame") -> "pd.DataFrame":
    """A history in which the epochs of every extension are numbered on from those of its training.

    Where no row of `frame` ends with that training, so that it has no line of its own, its epochs are copied in front
    of the extension's.
    """
    import pandas as pd

    if "run.extend" not in frame:
        return history
    pairs = frame[["run.extend", "run.train"]].dropna().drop_duplicates().itertuples(index=False, name=None)
    begun = set(history["run"])
    before = {run: trained for run, trained in pairs if run in begun}
    if not before:
        return history
    epochs = history.groupby("run")["epoch"].max()
    later = history["run"].map({run: epochs.get(trained, 0) for run, trained in before.items()}).fillna(0).astype(int)
    shown = set(last(frame))
    alone = {run: trained for run, trained in before.items() if trained not in shown}
    earlier = [history[history["run"] == trained].assign(run=run) for run, trained in alone.items()]
    whole = pd.concat([history.assign(epoch=history["epoch"] + later), *earlier])
    return whole.sort_values("epoch", kind="stable", ignore_index=True)
