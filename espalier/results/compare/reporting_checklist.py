"""What a study satisfies of the checklist of Blalock et al. 2020 (arXiv 2003.03033), found in its plan and results.

Items are those of its recommendations and of its appendix that a plan and results can answer, in our words. Where it
gives no number ("substantially", "near"), the numbers below are ours.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from espalier.counted import counted
from espalier.results.compare import pruning_checklist
from espalier.results.compare.pruning_checklist import NO, NOTHING, Item, answer, points
from espalier.results.read.planned_study import Study, headline
from espalier.runs import record as records
from espalier.stages import STAGES

if TYPE_CHECKING:
    import pandas as pd

TOY_DATA = ("digits", "mnist", "fashion_mnist")
TOY_NETWORKS = ("lenet", "mlp")
"""What does not count as a data set or a network of today."""
NEAR = 1.0
"""Points below a published accuracy that are near it."""
_MOST = 4
"""Pairs that are named."""


def items(frame: "pd.DataFrame", study: Study) -> list[Item]:
    """The checklist, filled in from a plan and the runs that exist."""
    found = {
        "Three or more pairs of data set and network, toys left out": _pairs(study),
        "Means and standard deviations over three or more seeds": _seeds(frame, study),
        "Top-1 and top-5": _both_accuracies(frame, study),
        "Parameters and MACs of every network": _complete(frame, ["params", "macs"], "with both"),
        f"Accuracy before pruning within {NEAR:g} point of a published one, or above": _published(frame, study),
        "Commit, versions and hardware of every run": _origin(study),
    }
    return [Item(asked, *said) for asked, said in found.items()] + pruning_checklist.items(frame, study)


def _pairs(study: Study) -> tuple[str, str]:
    chains = [point["runs"] for point in study["points"]]
    chains = [runs for runs in chains if "prune" in runs] or chains
    pairs: dict[tuple[str, str], None] = {}
    for runs in chains:
        data, train = (study["runs"][runs[stage]]["settings"] for stage in ("prepare", "train"))
        # Widths and depths of one network are one: they would make a pair of every point of a grid.
        pairs[data["dataset.name"], train["model.name"]] = None
    real = [pair for pair in pairs if pair[0] not in TOY_DATA and pair[1] not in TOY_NETWORKS]
    names = [f"{network} on {data}" for data, network in pairs]
    named = ", ".join([*names[:_MOST], *(["…"] if len(names) > _MOST else [])])
    return answer(len(real) >= 3), f"{len(real)} of {len(pairs)} ({named})"


def _seeds(frame: "pd.DataFrame", study: Study) -> tuple[str, str]:
    least = int(frame.groupby("configuration")[headline(study)].count().min()) if len(frame) else 0
    return answer(least >= 3), f"{study['repeats']} planned, {least} done of the configuration with fewest"


def _both_accuracies(frame: "pd.DataFrame", study: Study) -> tuple[str, str]:
    split = headline(study).partition("_")[0]
    return _complete(frame, [f"{split}_top1", f"{split}_top5"], f"of the {split} split")


def _complete(frame: "pd.DataFrame", columns: list[str], words: str) -> tuple[str, str]:
    done = frame[frame["state"] == "done"]
    if done.empty:
        return NOTHING
    both = int(done[columns].notna().all(axis=1).sum()) if set(columns) <= set(done) else 0
    return answer(both == len(done)), f"{both} of {counted(len(done), 'finished chain')}, {words}"


def _published(frame: "pd.DataFrame", study: Study) -> tuple[str, str]:
    """The worst difference of a network before pruning in the tables that set the study beside published numbers."""
    from espalier.results.study_outputs import outputs_of

    tables = [item.make(frame, study).data for item in outputs_of(study, "table") if item.name == "published"]
    whole = [data for data in tables if not {"weight_bits", "activation_bits"} & set(data)]
    differences = []
    for data in whole:
        bare = data["n"] > 0
        for axis in (each.name for each in STAGES.values() if each.changes and each.optional):
            bare &= data[axis].isin(("none", "–")) if axis in data else True
        differences += data.loc[bare, "difference"].dropna().tolist()
    if not whole:
        return NO, "compared with no published accuracy"
    if not differences:
        return NOTHING
    told = f"{points(min(differences))}, the least of {counted(len(differences), 'network')}"
    return answer(min(differences) >= -NEAR), told


def _origin(study: Study) -> tuple[str, str]:
    kept = clean = done = 0
    for run in study["runs"].values():
        record = records.read(Path(run["path"])) if run["stage"] != "prepare" else None
        if record is None or record.outcome == records.NOT_RUN:
            continue
        done += 1
        git = record.content["git"]
        whole = bool(git["commit"] and record.content["versions"] and record.content["device"])
        kept += whole
        clean += whole and not git["dirty"]
    if not done:
        return NOTHING
    changed = f", {kept - clean} with uncommitted changes" if kept > clean else ""
    return answer(clean == done), f"{kept} of {counted(done, 'run')}{changed}"
