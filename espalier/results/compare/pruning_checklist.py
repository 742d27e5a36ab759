"""The part of the checklist of Blalock et al. 2020 that asks how networks were pruned and what with them compared."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from espalier.counted import counted
from espalier.results.format import numbers
from espalier.results.read import trainings
from espalier.results.read.planned_study import Study, headline
from espalier.results.read.stage_networks import until

if TYPE_CHECKING:
    import pandas as pd

NO, NOTHING, APART = "no", ("no result yet", "–"), ("does not apply", "nothing is pruned")
MILD, EXTREME = 2, 32
"""Compression that the ratios should span."""
FALL = 5.0
"""Points of top-1 that are a substantial decline."""
_DEGREES = ("prune.ratio", "prune.zeroed")
_MAGNITUDE = ("magnitude", "iterative", "gradual", "two_phase")

Settings = Mapping[str, Any]


class Item(NamedTuple):
    """One line of the checklist."""

    asked: str
    met: str
    found: str


def items(frame: "pd.DataFrame", study: Study) -> list[Item]:
    """These items, filled in from a plan and the runs that exist."""
    pruned = [run["settings"] | {"parent": run["parent"]} for run in study["runs"].values() if run["stage"] == "prune"]
    found = {
        "Five or more ratios of every method": lambda: _ratios(pruned),
        f"Compression from {MILD} to {EXTREME} times": lambda: _span(frame, study),
        f"Up to where {FALL:g} points of accuracy are lost": lambda: _decline(frame, study),
        "Accuracy of the same network before pruning": lambda: _before(study),
        "Control: as much pruned at random": lambda: _controls(pruned, "random"),
        "Control: the pruned structure trained from scratch": lambda: _controls(pruned, "scratch"),
        "Pruning by magnitude among the methods": lambda: _magnitude(pruned),
        "Two or more methods, fine-tuned alike": lambda: _alike(pruned),
    }
    return [Item(asked, *(say() if pruned else APART)) for asked, say in found.items()]


def answer(met: bool) -> str:
    """Whether an item is satisfied, in a word."""
    return "yes" if met else NO


def points(value: float) -> str:
    """``−0.42 points``."""
    return f"{numbers.signed(value)} points"


def _method(settings: Settings) -> tuple:
    """What tells one way of pruning from another, however much it removes."""
    return tuple(
        (key, str(value)) for key, value in settings.items() if key.startswith("prune.") and key not in _DEGREES
    )


def _control(settings: Settings) -> str | None:
    return settings.get("control") or ("random" if settings.get("prune.importance") == "random" else None)


def _names(methods: list[Settings]) -> list[str]:
    return sorted({settings["prune.name"] for settings in methods if not _control(settings)})


def _ratios(pruned: list[Settings]) -> tuple[str, str]:
    degrees: dict[tuple, set] = {}
    for settings in (one for one in pruned if not _control(one)):
        own = tuple(settings.get(key) for key in _DEGREES)
        degrees.setdefault((settings["prune.name"], settings["parent"], _method(settings)), set()).add(own)
    # A network that is pruned once more elsewhere, at one ratio, does not take from the curve of another.
    most: dict[tuple, int] = {}
    for (name, _, method), own in degrees.items():
        most[name, method] = max(len(own), most.get((name, method), 0))
    return answer(min(most.values(), default=0) >= 5), ", ".join(f"{name} {n}" for (name, _), n in most.items())


def _measured(frame: "pd.DataFrame", study: Study) -> "pd.DataFrame":
    """The runs of pruned networks, no control, with `compression`: parameters before over non-zero ones after."""
    own = until(frame, study, "prune")[0]
    own = own[own["run.prune"].notna() & own["nonzeros"].notna()].drop_duplicates("run.prune")
    controls = {id_ for id_, run in study["runs"].items() if _control(run["settings"])}
    own = own[~own["run.prune"].isin(controls)]
    return own.assign(compression=100 * own["params"] / own["params_left"] / own["nonzeros"])


def _span(frame: "pd.DataFrame", study: Study) -> tuple[str, str]:
    found = _measured(frame, study).groupby("configuration")["compression"].mean()
    if found.empty:
        return NOTHING
    return answer(found.min() <= MILD and found.max() >= EXTREME), f"{found.min():.1f} to {found.max():.1f} times"


def _decline(frame: "pd.DataFrame", study: Study) -> tuple[str, str]:
    measure, own = headline(study), _measured(frame, study)
    if own.empty:
        return NOTHING
    before = trainings.accuracy(frame, study, measure)
    own = own.assign(change=own[measure] - trainings.last(own).map(before))
    means = own.groupby("configuration")[["compression", "change"]].mean().dropna()
    if means.empty:
        return NOTHING
    last = means.loc[means["compression"].idxmax()]
    return answer(last["change"] <= -FALL), f"{points(last['change'])} at {last['compression']:.1f} times"


def _before(study: Study) -> tuple[str, str]:
    chains = [point["runs"] for point in study["points"]]
    bare = {trainings.last_of(runs) for runs in chains if "prune" not in runs}
    trained = {trainings.last_of(runs) for runs in chains if "prune" in runs}
    return answer(trained <= bare), f"{len(trained & bare)} of {len(trained)} trained networks that were pruned"


def _controls(pruned: list[Settings], control: str) -> tuple[str, str]:
    def key(settings: Settings) -> tuple:
        parts = ((k, str(v)) for k, v in settings.items() if k.startswith("prune.") and k != "prune.importance")
        return settings["parent"], tuple(parts)

    wanted = {key(one) for one in pruned if not _control(one)}
    there = {key(one) for one in pruned if _control(one) == control}
    told = f"{len(wanted & there)} of {counted(len(wanted), 'pruned network')}"
    return answer(bool(wanted) and wanted <= there), told


def _magnitude(pruned: list[Settings]) -> tuple[str, str]:
    by = [one for one in pruned if one["prune.name"] in _MAGNITUDE or one.get("prune.importance") in ("l1", "l2")]
    found = _names(by)
    return answer(bool(found)), ", ".join(found) or f"none ({', '.join(_names(pruned))})"


def _alike(pruned: list[Settings]) -> tuple[str, str]:
    own = [one for one in pruned if not _control(one)]
    methods = {_method(one) for one in own}
    tunings = {tuple((k, str(v)) for k, v in one.items() if k.startswith(("fine_tune.", "augment"))) for one in own}
    met = len(methods) >= 2 and len(tunings) == 1
    return answer(met), f"{counted(len(methods), 'method')}, {counted(len(tunings), 'setting')} of fine-tuning"
