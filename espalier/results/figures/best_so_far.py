from itertools import groupby
from math import isnan

from espalier.results.compare.search_progress import search_progress
from espalier.results.format import error_axis, numbers, style
from espalier.results.format.captions import Caption
from espalier.results.format.marks import names
from espalier.results.format.protocols import untested
from espalier.results.read import rungs
from espalier.settings.registry import register

_NAMED = 5
"""Rungs that a reader takes in one by one."""
_DOTS = {"stopped": "#A8A8A8", "goes on": style.COLOURS[5], "at its end": style.COLOURS[0]}
"""States of a step, and their colours."""


@register("figure")
def search(frame, history, study: dict):
    """The best validation top-1 so far against the epochs of all trainings together: how soon a search finds good
    settings."""
    steps, spared = search_progress(frame, history, study)
    count = frame["configuration"].nunique()
    scored = [step for step in steps if not isnan(step.top1)]
    if not scored:
        return style.nothing(f"No configuration has a result yet ({count} planned).", style.PAGE)
    figure, (panel,) = style.canvas(style.PAGE, 2.9, title="Best validation top-1 so far against epochs trained")
    place = error_axis.scale(panel, [step.top1 for step in scored])
    for state, colour in _DOTS.items():
        own = [step for step in scored if step.state == state]
        if own:
            look = {"marker": "o", "linestyle": "", "markersize": 3.2, "markeredgewidth": 0, "color": colour}
            spots = [step.spent for step in own], [place(step.top1) for step in own]
            panel.plot(*spots, label=state, gid="configuration", **look)
    known = [step for step in steps if not isnan(step.best)]
    x, y = [step.spent for step in known], [place(step.best) for step in known]
    panel.plot(x, y, drawstyle="steps-post", color=style.COLOURS[1], label="best so far", gid="best")
    missing, spent = _missing(steps, count), steps[-1].spent
    # What trainings that have not ended would take is not known.
    whole = spent if missing else spent + spared
    if whole > spent:
        look = {"color": style.GREY, "linewidth": 0.9, "linestyle": (0, (4, 2)), "gid": "whole"}
        panel.axvline(whole, label=f"all to their ends: {whole:,} epochs", **look)
    parts = [(rung, [*own]) for rung, own in groupby(steps, key=lambda step: step.rung)]
    for _, own in parts[:-1]:
        panel.axvline(own[-1].spent, color="#CCCCCC", linewidth=0.8, zorder=0.5, gid="rung")
    panel.set_xlim(0, 1.02 * max(1, whole))
    panel.set_xlabel("Epochs of all trainings together")
    panel.set_ylabel("Validation top-1 (%)")
    style.legend(figure, *panel.get_legend_handles_labels())
    style.note(figure, " ".join(filter(None, [_best_sentence(steps, study), _rungs(parts), missing])))
    return figure


def _rungs(parts) -> str:
    """How many configurations were trained to which epoch."""
    if not 1 < len(parts) <= _NAMED:
        return ""
    told = [f"{len({step.configuration for step in own})} to {f'epoch {to}' if to else 'the end'}" for to, own in parts]
    return f"Trained: {', '.join(told)}; upright lines between."


def _best_sentence(steps, study: dict) -> str:
    """The best of all, and when it came to the front."""
    order = list(dict.fromkeys(step.configuration for step in steps))
    last = {step.configuration: step for step in steps if not isnan(step.top1)}
    best = next((step for step in last.values() if step.top1 == steps[-1].best), None)
    if best is None:
        return ""
    which = f"configuration {order.index(best.configuration) + 1} of {len(order)}"
    said = f"Best: {names(study)[best.configuration]}, {numbers.plain(best.top1)} %"
    return f"{said}, after {best.spent:,} of {steps[-1].spent:,} epochs ({which})."


def _missing(steps, count: int) -> str:
    ended = {step.configuration for step in steps if step.state != "goes on" and not isnan(step.top1)}
    return style.missing(len(ended), count, "configuration")


def caption(study: dict) -> Caption:
    """What the figure shows."""
    order = "One configuration after the other, in the order of the study"
    if rungs.waits(study):
        order = "Not by the clock: rung by rung, at each one configuration after the other."
    elif rungs.stops(study):
        order += ", not by the clock, each to where it ended."
    else:
        order += ": a shorter study would have ended on the line."
    stopped = "Dashed: what all to their ends would take." if rungs.stops(study) else ""
    return Caption(
        "Best validation top-1 so far against epochs trained",
        f"{order} {stopped}".strip(),
        "A dot is a configuration, the mean over the seeds that have come so far, of the network that its training had "
        "chosen by then. Epochs of all seeds count, those of extensions and fine-tuning too, and those that "
        "configurations share once. "
        f"{error_axis.TOLD} {untested(study)}",
        alt="A rising line of steps over epochs, below it a dot a configuration; validation top-1 upwards",
    )
