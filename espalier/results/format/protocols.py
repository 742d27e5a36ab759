"""Where the epoch is chosen, in words for captions: on the validation split, or as reports did, on the test split."""

from typing import Any

from espalier.results.read.planned_study import Study, along

AXIS, PUBLISHED = "protocol", "published"
"""The axis of a study that has both protocols, and its label of accuracies that are optimistic."""
MARK = " *"
"""Stands behind what is optimistic, since its epoch is the best one on the images that it is scored on."""


def prepared(study: Study) -> list[dict[str, Any]]:
    """Settings of every data set of the study; none for the tables of the zoo, which are of no study."""
    return [run["settings"] for run in study.get("runs", {}).values() if run["stage"] == "prepare"]


def protocols(study: Study) -> tuple[str, ...]:
    """The protocols of the study's data sets, clean before published."""
    return tuple(sorted({settings.get("protocol", "clean") for settings in prepared(study)}))


def optimistic(study: Study) -> bool:
    """Whether every accuracy of the study is."""
    return protocols(study) == (PUBLISHED,)


def mixed(study: Study) -> bool:
    """Whether some accuracies of the study are optimistic and others are not."""
    return len(protocols(study)) > 1


def chosen(study: Study, what: str = "The epoch is", scored: str = "") -> str:
    """A sentence: where a thing is chosen.

    Args:
        what: the thing, with its verb
        scored: what is said of the test split where it has no part in the choice, from the comma on
    """
    if optimistic(study):
        return f"{what} chosen on the test split, so that accuracies are optimistic."
    other = "; under the protocol published, on the test split, so that accuracies are optimistic"
    return f"{what} chosen on the validation split{scored}{other if mixed(study) else ''}."


def rest(study: Study, axis: str) -> str:
    """Words for a comparison along an axis: what the compared rows have in common, or are means over."""
    if along(study, axis)[1]:
        return "all else as in the baseline"
    both = mixed(study) and AXIS in study["axes"] and axis != AXIS
    return f"over everything else that varies{', both protocols among it: in part optimistic' if both else ''}"


def choosing(study: Study) -> str:
    """A sentence: by which images a reader may choose among settings, and what that is worth."""
    if optimistic(study):
        return "The validation split is the test split here: a setting that is chosen by it is optimistic."
    other = ", which under the protocol published is the test split: optimistic" if mixed(study) else ""
    return f"Settings are to be chosen on the validation split{other}."


def untested(study: Study) -> str:
    """A sentence beside what is of the validation split alone."""
    if optimistic(study):
        return "The validation split is the test split here: optimistic."
    return f"The test split has no part in it{' where the protocol is clean' if mixed(study) else ''}."
