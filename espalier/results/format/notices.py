"""Warnings that a page and its captions print with accuracies: overrides, a smoke run, the protocol, the splits."""

import json
from typing import TYPE_CHECKING

from espalier.counted import counted
from espalier.results.format.captions import Caption
from espalier.results.format.protocols import AXIS, MARK, PUBLISHED, optimistic, prepared, protocols
from espalier.results.read.planned_study import Study

if TYPE_CHECKING:
    import pandas as pd


def notices(study: Study) -> list[str]:
    """The warnings of a study: overrides, a smoke run, the published protocol, splits of 80/10/10.

    The first sentence of each is a short form. A study without any of these has no warning.
    """
    return [said for said in (_overrides(study), _scale(study), protocol_notice(study), _splits(study)) if said]


def noticed(caption: Caption, study: Study) -> Caption:
    """A caption with the first sentence of every notice in its text, and what follows it in its notes."""
    parts = [said.partition(". ") for said in notices(study)]
    short = [first + ("." if dot else "") for first, dot, _ in parts]
    return caption.with_text(*short).with_notes(*(rest for _, _, rest in parts))


def diverged(frame: "pd.DataFrame | None") -> list[str]:
    """A sentence that captions of tables print where chains diverged; none where none did."""
    count = 0 if frame is None else int((frame["state"] == "diverged").sum())
    if not count:
        return []
    chains, are = counted(len(frame), "chain"), "is" if count == 1 else "are"
    return [f"{count} of {chains} diverged, and {are} in no mean."]


def protocol_notice(study: Study) -> str:
    """A sentence that explains the mark of accuracies under the protocol published; empty where no accuracy has it."""
    if PUBLISHED not in protocols(study):
        return ""
    mark, here = MARK.strip(), (study.get("baseline") or {}).get(AXIS) == PUBLISHED
    which = f"Where the protocol is published{', as in the baseline' if here else ''}"
    return (
        f"{mark} {'Protocol published' if optimistic(study) else which}: best epoch on the test split: optimistic. "
        "There the validation split is the test split, and all other images train."
    )


def _overrides(study: Study) -> str:
    found = {key: value for key, value in study.get("overrides", {}).items() if key != "scale"}
    if not found:
        return ""
    words = ", ".join(f"{key} = {json.dumps(value)}" for key, value in found.items())
    return f"Not the study as its file has it: {words} (config/config.yaml or --config)."


def _scale(study: Study) -> str:
    if study.get("scale", "full") == "full":
        return ""
    return (
        "Smoke run: no number here is a result. It trains one epoch on a few embedded digits in the place of the "
        "study's data, to see that everything works; nothing is to be compared with a published number."
    )


def _splits(study: Study) -> str:
    if {settings.get("dataset.split") for settings in prepared(study)} != {"80/10/10"}:
        return ""
    return "Splits: a stratified 80/10/10 of all images, not the official ones."
