"""What must be read beside every accuracy of a study that is no clean result: its protocol, its splits, its scale."""

from dataclasses import replace
from typing import TYPE_CHECKING

from espalier.results.study import Study

if TYPE_CHECKING:
    from espalier.results.table import Table

MARK = " *"
"""Stands behind the heading of every column of accuracies that are optimistic throughout."""


def protocols(study: Study) -> tuple[str, ...]:
    """The protocols of the study's data sets, clean before published."""
    return tuple(sorted({settings.get("protocol", "clean") for settings in _prepared(study)}))


def notices(study: Study) -> list[str]:
    """Sentences that captions and the page print; none where every accuracy is a clean one of official splits."""
    return [*_scale(study), *_protocol(study), *_splits(study)]


def marked(heading: str, study: Study) -> str:
    """A column's heading, with the mark where all accuracies of the study are optimistic."""
    accuracy = "top-1" in heading or "top-5" in heading
    return heading + MARK if accuracy and protocols(study) == ("published",) else heading


def noticed(table: "Table", study: Study) -> "Table":
    """A table with the notices in its caption and the mark in its headings."""
    caption = " ".join([table.caption, *notices(study)])
    return replace(table, caption=caption, printed=table.printed.rename(columns=lambda head: marked(head, study)))


def _scale(study: Study) -> list[str]:
    if study.get("scale", "full") == "full":
        return []
    return [
        "Smoke run: one epoch on a few embedded digits in the place of the study's data, to see that everything works. "
        "No accuracy, time or size of a trained network here is a result, and none is to be compared with a published "
        "one."
    ]


def _protocol(study: Study) -> list[str]:
    found = protocols(study)
    if "published" not in found:
        return []
    which = f"{MARK.strip()} Protocol published" if found == ("published",) else "Where the protocol is published"
    return [
        f"{which}: best epoch on the test split: optimistic. There the validation split is the test split, and all "
        "other images train."
    ]


def _splits(study: Study) -> list[str]:
    found = {settings.get("dataset.split") for settings in _prepared(study)}
    if found != {"80/10/10"}:
        return []
    return ["Splits: a stratified 80/10/10 of all images, not the official ones."]


def _prepared(study: Study) -> list[dict]:
    # The tables of the zoo are of no study, and of no runs.
    return [run["settings"] for run in study.get("runs", {}).values() if run["stage"] == "prepare"]
